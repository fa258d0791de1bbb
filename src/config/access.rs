//! Who may what: the users of the access file, their tokens, and what they may report and see.

use std::collections::{BTreeMap, HashMap};
use std::iter;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use super::error::ConfigError;
use super::file::{located, sentence};
use super::given_file;
use super::limits::{ACCESS_FILE_BYTES_MAX, TOKENS_MAX, USERS_MAX};
use super::network::network;
use super::token_hash::TokenHash;
use crate::proto::http::form;
use crate::proto::node::CLIENT_NAME_BYTES_MAX;

/// The most bytes of the name of a user, of a group, and of a person.
const NAME_BYTES_MAX: usize = 64;

/// The users of a file, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// The file, to read it again.
    path: PathBuf,
    users: Vec<User>,
    /// The user of each token.
    tokens: HashMap<TokenHash, usize>,
    /// Who may report as clients whose names do not say whose they are.
    devices: BTreeMap<String, Vec<usize>>,
    /// The users of each group.
    groups: BTreeMap<String, Vec<usize>>,
    /// From where the line port may be used, beside this machine.
    line_from: Vec<IpNet>,
}

/// One user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, with which those of the user's clients begin.
    pub id: String,
    /// The person's name, for people.
    pub name: Option<String>,
    /// Whether the user may ask how the server is, and forget clients.
    pub is_admin: bool,
    /// The clients that are listed for the user.
    pub devices: Vec<String>,
    see: See,
    group: Option<String>,
}

/// Whose clients a user may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum See {
    /// Those of the user.
    #[default]
    #[serde(rename = "self")]
    Own,
    /// Those of the users of the same group.
    #[serde(rename = "group")]
    Group,
    /// All.
    #[serde(rename = "all")]
    All,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessFile {
    #[serde(default)]
    line_from: Vec<Spanned<String>>,
    #[serde(default)]
    users: BTreeMap<String, UserFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserFile {
    #[serde(default)]
    tokens: Vec<Spanned<String>>,
    #[serde(default)]
    devices: Vec<Spanned<String>>,
    #[serde(default)]
    see: See,
    group: Option<String>,
    #[serde(default)]
    admin: bool,
    name: Option<String>,
}

impl Access {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, or is not right.
    pub fn load(path: &Path) -> Result<Access, ConfigError> {
        let unreadable = |source| ConfigError::AccessFile { path: path.to_owned(), source };
        let text = given_file::utf8(path, ACCESS_FILE_BYTES_MAX).map_err(unreadable)?;
        Access::parse(path, &text)
            .map_err(|error| ConfigError::InFile { path: path.to_owned(), error: Box::new(error) })
    }

    /// Reads and checks the file again.
    ///
    /// # Errors
    /// Those of [`Access::load`].
    pub fn reload(&self) -> Result<Access, ConfigError> {
        Access::load(&self.path)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks the text of the file at `path`.
    ///
    /// # Errors
    /// If it is not right.
    pub fn parse(path: &Path, text: &str) -> Result<Access, ConfigError> {
        let file: AccessFile = toml::from_str(text).map_err(|error| not_of_users(text, &error))?;
        if file.users.is_empty() {
            return Err(ConfigError::Users("there is no user: add a table such as [users.jane]".to_owned()));
        }
        if file.users.len() > USERS_MAX {
            return Err(ConfigError::Users(format!("there are more than {USERS_MAX} users")));
        }
        let mut access = Access {
            path: path.to_owned(),
            users: Vec::new(),
            tokens: HashMap::new(),
            devices: BTreeMap::new(),
            groups: BTreeMap::new(),
            line_from: Vec::new(),
        };
        for value in file.line_from {
            let begins = value.span().start;
            let why = |why: &str| located(text, begins, format!("line_from: {why}"));
            access.line_from.push(network(value.get_ref()).map_err(why)?);
        }
        for (id, user) in file.users {
            access.add(text, id, user)?;
        }
        Ok(access)
    }

    fn add(&mut self, text: &str, id: String, file: UserFile) -> Result<(), ConfigError> {
        let at = self.users.len();
        check_user_name(&id)?;
        check_user(&file).map_err(|why| bad_user(&id, why))?;
        for token in file.tokens {
            let (begins, token) = (token.span().start, token.into_inner());
            let hash = TokenHash::parse(&token).ok_or_else(|| {
                let why =
                    "a token is \"sha256:\" and 64 hexadecimal digits, as `proxyherd token new` prints it";
                located(text, begins, why.to_owned())
            })?;
            if self.tokens.insert(hash, at).is_some() {
                return Err(located(text, begins, "this token is there twice: make another one".to_owned()));
            }
            if self.tokens.len() > TOKENS_MAX {
                return Err(ConfigError::Users(format!("there are more than {TOKENS_MAX} tokens")));
            }
        }
        let mut devices = Vec::new();
        for device in file.devices {
            let (begins, device) = (device.span().start, device.into_inner());
            let is_name = !device.is_empty()
                && device.len() <= CLIENT_NAME_BYTES_MAX
                && !device.contains(|c: char| c.is_ascii_whitespace() || c.is_ascii_control());
            if !is_name {
                let why = format!(
                    "a device is the name of a client: one word of at most {CLIENT_NAME_BYTES_MAX} bytes"
                );
                return Err(located(text, begins, why));
            }
            devices.push(device.clone());
            self.devices.entry(device).or_default().push(at);
        }
        let UserFile { see, group, admin, name, .. } = file;
        if let Some(group) = &group {
            self.groups.entry(group.clone()).or_default().push(at);
        }
        self.users.push(User { id, name, is_admin: admin, devices, see, group });
        Ok(())
    }

    /// How many users and tokens there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.users.len(), self.tokens.len())
    }

    /// The index of the user whose token has this hash.
    pub fn user_of(&self, token: &TokenHash) -> Option<usize> {
        self.tokens.get(token).copied()
    }

    /// The user of an index from [`Access::user_of`].
    pub fn user(&self, index: usize) -> &User {
        &self.users[index]
    }

    /// Whether there is a user of this name.
    pub fn has_user(&self, id: &str) -> bool {
        self.index(id).is_some()
    }

    /// Whether a user may report as this client: one of the user's own name, or one that is listed.
    pub fn may_report(&self, user: usize, client: &str) -> bool {
        self.owners(client).any(|owner| owner == user)
    }

    /// Whether a user may see where this client is.
    pub fn may_see(&self, user: usize, client: &str) -> bool {
        let User { see, group, .. } = &self.users[user];
        match see {
            See::All => true,
            See::Own => self.may_report(user, client),
            See::Group => self.owners(client).any(|owner| owner == user || self.users[owner].group == *group),
        }
    }

    /// Whether a client is that of a user of this group.
    pub fn is_of_group(&self, group: &str, client: &str) -> bool {
        self.owners(client).any(|owner| self.users[owner].group.as_deref() == Some(group))
    }

    /// The users whose clients a user may see, the user first; `None` for those of all, and of no user.
    pub fn seen_by(&self, user: usize) -> Option<impl Iterator<Item = &User>> {
        let User { see, group, .. } = &self.users[user];
        let group = match see {
            See::All => return None,
            See::Own => None,
            See::Group => group.as_ref().and_then(|group| self.groups.get(group)),
        };
        let others = group.into_iter().flatten().copied().filter(move |&other| other != user);
        Some(iter::once(user).chain(others).map(|user| &self.users[user]))
    }

    /// The name of the person whose client this is. A client that several users may report as has no owner.
    pub fn name_of(&self, client: &str) -> Option<&str> {
        let named = client.split_once('/').and_then(|(id, _)| self.index(id));
        let owner = named.or_else(|| match self.devices.get(client).map(Vec::as_slice) {
            Some([owner]) => Some(*owner),
            _ => None,
        });
        self.users[owner?].name.as_deref()
    }

    /// Whether the line port may be used from there, and not only by programs on this machine.
    pub fn serves_lines_of(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.line_from.iter().any(|network| network.contains(&address))
    }

    fn index(&self, id: &str) -> Option<usize> {
        self.users.binary_search_by(|user| user.id.as_str().cmp(id)).ok()
    }

    /// The users who may report as a client.
    fn owners(&self, client: &str) -> impl Iterator<Item = usize> {
        let listed = self.devices.get(client).into_iter().flatten().copied();
        let named = client.split_once('/').filter(|(_, device)| !device.is_empty());
        listed.chain(named.and_then(|(id, _)| self.index(id)))
    }
}

/// Checks that a text can be the name of a user: it is a part of names of clients, and stands before the colon of a
/// login.
///
/// # Errors
/// If it cannot.
pub fn check_user_name(id: &str) -> Result<(), ConfigError> {
    match is_short(id) && form::name_part(id) == id && !id.contains(':') && !id.contains(char::is_control) {
        true => Ok(()),
        false => {
            Err(bad_user(id, "a name has 1 to 64 bytes, without white space and the characters / % + # :"))
        }
    }
}

fn bad_user(id: &str, why: &str) -> ConfigError {
    ConfigError::User { user: id.to_owned(), why: why.to_owned() }
}

fn is_short(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES_MAX
}

fn check_user(file: &UserFile) -> Result<(), &'static str> {
    let texts = [&file.group, &file.name].into_iter().flatten();
    if texts.clone().any(|text| !is_short(text) || text.contains(char::is_control)) {
        return Err("its `group` and its `name` have 1 to 64 bytes each, without control characters");
    }
    if file.see == See::Group && file.group.is_none() {
        return Err("it sees its group and has none: add `group = \"family\"`, or write see = \"self\"");
    }
    Ok(())
}

/// One sentence in place of the library's several lines.
fn not_of_users(text: &str, error: &toml::de::Error) -> ConfigError {
    const USER_KEYS: [&str; 6] = ["tokens", "devices", "see", "group", "admin", "name"];
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or_default();
    let message = error.message();
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let line = &text[before.rfind('\n').map_or(0, |newline| newline + 1)..];
    let advice = match unknown {
        Some("line_from") => Some(
            "`line_from` belongs at the top of the file, before the first table in [brackets]".to_owned(),
        ),
        Some(key) if line.starts_with('[') => {
            Some(format!("the table of a user is [users.NAME], so write [users.{key}]"))
        }
        Some(key) if USER_KEYS.contains(&key) => {
            Some(format!("`{key}` belongs below the table of a user, such as [users.jane]"))
        }
        Some(_) => None,
        None if message.contains("boolean") => {
            Some(format!("{message}: write true or false, in small letters and without quotes"))
        }
        None if message.contains("sequence") => {
            Some(format!("{message}: write a list of texts in quotes, as in devices = [\"jane/phone\"]"))
        }
        None if message.contains("string") => {
            Some(format!("{message}: put the value in quotes, \" before and after"))
        }
        None => None,
    };
    located(text, at, sentence(advice.as_deref().unwrap_or(message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Access, ConfigError> {
        Access::parse(Path::new("access.toml"), text)
    }

    fn refusal(text: &str) -> String {
        let message = parse(text).expect_err(text).to_string();
        assert!(!message.contains('\n'), "{message}");
        message
    }

    #[test]
    fn users_report_as_themselves_and_see_what_they_may() {
        let hash = TokenHash::of(b"secret");
        let text = format!(
            "line_from = ['10.0.0.0/8', '::ffff:192.0.2.7']\n\
             [users.jane]\ntokens = ['{hash}']\ndevices = ['48241179', 'car']\nsee = 'group'\ngroup = 'family'\n\
             admin = true\nname = 'Jane'\n\
             [users.joe]\ndevices = ['car']\ngroup = 'family'\n[users.ann]\nsee = 'all'\n[users.bob]\nsee = 'self'\n"
        );
        let access = parse(&text).unwrap();
        let of = |id: &str| access.index(id).unwrap();
        let (jane, joe, ann, bob) = (of("jane"), of("joe"), of("ann"), of("bob"));
        assert_eq!((access.user_of(&hash), access.user_of(&TokenHash::of(b"secre"))), (Some(jane), None));
        assert!(access.user(jane).is_admin && !access.user(joe).is_admin && access.counts() == (4, 1));
        for (user, client, may_report, may_see) in [
            (jane, "jane/phone", true, true),
            (jane, "jane/", false, false),
            (jane, "jane", false, false),
            (jane, "janet/phone", false, false),
            (jane, "48241179", true, true),
            (jane, "joe/phone", false, true),
            (jane, "bob/phone", false, false),
            (jane, "car", true, true),
            (joe, "car", true, true),
            (joe, "jane/phone", false, false),
            (ann, "jane/phone", false, true),
            (ann, "kiwi", false, true),
            (bob, "kiwi", false, false),
            (bob, "bob/a/b", true, true),
            (bob, "BOB/a", false, false),
        ] {
            let is = (access.may_report(user, client), access.may_see(user, client));
            assert_eq!(is, (may_report, may_see), "{user} {client}");
        }
        for (address, is_served) in [
            ("127.0.0.1", false),
            ("::ffff:10.1.2.3", true),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(access.serves_lines_of(address.parse().unwrap()), is_served, "{address}");
        }
    }

    #[test]
    fn mistakes_say_what_to_change() {
        let hash = TokenHash::of(b"x");
        let jane = |keys: &str| format!("[users.jane]\n{keys}\n");
        for (text, why) in [
            (String::new(), "there is no user: add a table such as [users.jane]"),
            (jane("colour = 1"), "line 2, column 1: unknown field `colour`, expected one of"),
            (jane("tokens = 'x'"), "write a list of texts in quotes"),
            (jane("tokens = ['x']"), "line 2, column 11: a token is \"sha256:\" and 64 hex"),
            (
                jane(&format!("tokens = ['{}']", "sha256:".to_owned() + &"g".repeat(64))),
                "a token is \"sha256:\" and",
            ),
            (
                jane(&format!("tokens = ['{}']", "sha256:".to_owned() + &"é".repeat(32))),
                "a token is \"sha256:\" and",
            ),
            (
                jane(&format!("tokens = ['{hash}']\n[users.joe]\ntokens = ['{hash}']")),
                "line 4, column 11: this token",
            ),
            (jane("devices = ['a b']"), "a device is the name of a client"),
            (jane("see = 'group'"), "it sees its group and has none"),
            (jane("see = 'friends'"), "unknown variant `friends`"),
            (jane("admin = 'yes'"), "write true or false"),
            (jane("name = 5"), "put the value in quotes"),
            (jane("line_from = []"), "`line_from` belongs at the top of the file"),
            (jane("name = ''"), "have 1 to 64 bytes each"),
            (
                "line_from = ['here']\n[users.a]".to_owned(),
                "line 1, column 14: line_from: it takes an address, or a",
            ),
            ("tokens = []\n[users.a]".to_owned(), "`tokens` belongs below the table of a user"),
            ("[jane]\nadmin = true".to_owned(), "so write [users.jane]"),
            ("[users.'a b']".to_owned(), "the user \"a b\": a name has 1 to 64 bytes"),
            ("[users.'a:b']".to_owned(), "a name has 1 to 64 bytes"),
            ("[users.'a/b']".to_owned(), "a name has 1 to 64 bytes"),
            ("[users.'']".to_owned(), "a name has 1 to 64 bytes"),
            ("[users.a]\n[users.a]".to_owned(), "duplicate key"),
        ] {
            let refused = refusal(&text);
            assert!(refused.contains(why), "{text}\n{refused}\nand not {why}");
        }
        let many: String = (0..=USERS_MAX).map(|number| format!("[users.u{number}]\n")).collect();
        assert!(refusal(&many).contains("more than 10000 users"));
    }

    #[test]
    fn files_that_cannot_be_read_say_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = || Access::load(file.path()).unwrap_err().to_string();
        std::fs::write(file.path(), vec![b'#'; ACCESS_FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(refused().contains("it has more than 4194304 bytes"), "{}", refused());
        std::fs::write(file.path(), b"\xe9").unwrap();
        assert!(refused().contains("it is not UTF-8"), "{}", refused());
        std::fs::write(file.path(), "[users.jane]").unwrap();
        assert_eq!(Access::load(file.path()).unwrap().reload().unwrap().counts(), (1, 0));
        assert!(
            Access::load(Path::new("/nowhere"))
                .unwrap_err()
                .to_string()
                .starts_with("cannot read the access file")
        );
    }
}
