//! What a request over HTTP costs: a phone's report in instructions, and a question by place in processor time. Both
//! are those of the threaded server as a process.
//!
//! | module | what lives there |
//! |---|---|
//! | [`running`] | the server as a process, and a connection to it |
//! | [`report`] | reports of a known phone, and the instructions of one |
//! | [`question`] | a million clients, and the time of a question for a hundred of them |

pub mod question;
pub mod report;
pub mod running;
