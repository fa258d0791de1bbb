//! What a request over HTTP costs: a phone's report in instructions, and a question by place in processor time. Both go
//! through the whole server, which runs in this process, and through its sockets.
//!
//! | module | what lives there |
//! |---|---|
//! | [`running`] | a server in this process, and a connection to it |
//! | [`report`] | reports of a known phone, and the instructions of one |
//! | [`question`] | a million clients, and the time of a question for a hundred of them |

pub mod question;
pub mod report;
pub mod running;
