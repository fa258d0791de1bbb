//! How the servers of the herd authenticate each other: their secret, and the addresses that are safe without it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::address::Address;
use super::error::{AddressUse, ConfigError, Purpose};
use super::given_file;
use super::herd::Member;
use crate::proto::model::secret::{SECRET_BYTES_MAX, SECRETS_MAX, Secret};
use crate::proto::node::Dialect;

/// The environment variable with the secret, if no file is named.
pub const SECRET_VARIABLE: &str = "PROXYHERD_SECRET";

/// How the servers of the herd authenticate each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// By a secret that all of them have: the first, if there are several, and all are accepted.
    Secrets(Vec<Secret>),
    /// Not at all: every program that can reach the ports is believed, so they must be on this machine alone.
    Loopback,
    /// Not at all, on whatever addresses, because --insecure asks for it.
    Insecure,
}

impl Auth {
    /// Reads the secrets that the command line or the environment names. Files that were named go before the variable.
    pub fn of(files: &[PathBuf], variable: Option<OsString>, insecure: bool) -> Result<Auth, ConfigError> {
        if files.len() > SECRETS_MAX {
            return Err(ConfigError::TooManySecrets);
        }
        let read = |path: &PathBuf| secret(path.display().to_string(), &secret_text(path)?);
        match variable {
            _ if !files.is_empty() => Ok(Auth::Secrets(files.iter().map(read).collect::<Result<_, _>>()?)),
            Some(text) => {
                Ok(Auth::Secrets(vec![secret(SECRET_VARIABLE.to_owned(), text.as_encoded_bytes())?]))
            }
            None if insecure => Ok(Auth::Insecure),
            None => Ok(Auth::Loopback),
        }
    }

    /// The secrets, the one that is used first; none if there is no secret.
    pub fn secrets(&self) -> &[Secret] {
        match self {
            Auth::Secrets(secrets) => secrets,
            Auth::Loopback | Auth::Insecure => &[],
        }
    }

    /// Checks that a server that authenticates others in this way may listen on the addresses of `member`, and dial
    /// its neighbours: without a secret no link leaves this machine.
    pub fn allows(&self, member: &Member, neighbours: &[&Member]) -> Result<(), ConfigError> {
        let far = |it: &&&Member| it.dialect == Dialect::Herd && !it.peer.is_loopback();
        let dialled = neighbours.iter().find(far).map(|it| {
            (AddressUse { server: it.name.clone(), purpose: Purpose::Peer, is_bound: false }, it.peer.clone())
        });
        match (self, exposed(member).or(dialled)) {
            (Auth::Loopback, Some((whose, address))) => Err(ConfigError::NeedsSecret { whose, address }),
            (Auth::Secrets(_) | Auth::Loopback | Auth::Insecure, _) => Ok(()),
        }
    }

    /// Whether any machine of a network could pose as a server here.
    pub fn is_exposed(&self, member: &Member) -> bool {
        self.secrets().is_empty() && exposed(member).is_some()
    }
}

/// The first address that other machines can reach. What a name stands for is not known before it is looked up.
fn exposed(member: &Member) -> Option<(AddressUse, Address)> {
    let ports = [Purpose::Client, Purpose::Peer, Purpose::ClientTls].into_iter();
    ports.filter_map(|purpose| member.listens(purpose)).find(|(_, address)| !address.is_loopback())
}

fn secret(place: String, text: &[u8]) -> Result<Secret, ConfigError> {
    Secret::parse(given_file::value(text)).map_err(|source| ConfigError::Secret { place, source })
}

fn secret_text(path: &Path) -> Result<Vec<u8>, ConfigError> {
    // A few bytes more than a secret, its quotes and its line end may have: enough to see that it is too long.
    given_file::text(path, SECRET_BYTES_MAX as u64 + 16)
        .map_err(|source| ConfigError::SecretFile { path: PathBuf::from(path), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_exposed_address_needs_a_secret() {
        let at = |client: &str, peer: &str| {
            let name = crate::proto::model::name::ServerName::parse("A").unwrap();
            let address = |text: &str| text.parse::<Address>().unwrap();
            Member::herd(name, address(client), address(peer))
        };
        let home = at("127.0.0.1:1", "[::1]:2");
        let open = at("127.0.0.1:1", "10.0.0.1:2");
        let none = || Auth::of(&[], None, false).unwrap();
        assert!(none().allows(&home, &[]).is_ok() && !none().is_exposed(&home));
        let refused = none().allows(&open, &[]).unwrap_err().to_string();
        assert!(refused.starts_with("the peer address of A is 10.0.0.1:2, where any machine"), "{refused}");
        assert!(
            refused.contains("--secret-file or PROXYHERD_SECRET") && refused.ends_with("or say --insecure")
        );
        assert!(none().allows(&at("[::ffff:127.0.0.1]:1", "127.9.9.9:2"), &[]).is_ok());
        assert!(none().allows(&at("0.0.0.0:1", "127.0.0.1:2"), &[]).is_err());

        // A neighbour on another machine would be dialled, and one of the original protocol is as it ever was.
        assert!(none().allows(&home, &[&home]).is_ok());
        let refused = none().allows(&home, &[&home, &open]).unwrap_err().to_string();
        assert!(refused.starts_with("the peer address of A is 10.0.0.1:2, where"), "{refused}");
        assert!(none().allows(&home, &[&Member { dialect: Dialect::Legacy, ..open.clone() }]).is_ok());

        let insecure = Auth::of(&[], None, true).unwrap();
        assert!(insecure.allows(&open, &[]).is_ok() && insecure.is_exposed(&open));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let of = |path: &Path| Auth::of(&[path.to_owned()], None, false);
        fs::write(&path, "of the file, 0123456789\n").unwrap();
        let secret = |text: &[u8]| Auth::Secrets(vec![Secret::parse(text).unwrap()]);
        let variable = Some("of the variable, 0123456789".into());
        let auth = Auth::of(std::slice::from_ref(&path), variable.clone(), true).unwrap();
        assert_eq!(auth, secret(b"of the file, 0123456789"));
        assert!(auth.allows(&open, &[]).is_ok() && !auth.is_exposed(&open));
        assert_eq!(Auth::of(&[], variable, false).unwrap(), secret(b"of the variable, 0123456789"));

        for same in ["\"of the file, 0123456789\"\r\n", "\u{feff}of the file, 0123456789\r\n"] {
            fs::write(&path, same).unwrap();
            assert_eq!(of(&path).unwrap(), secret(b"of the file, 0123456789"));
        }

        let newer = dir.path().join("newer");
        fs::write(&newer, "of the newer file, 0123456789").unwrap();
        let both = Auth::of(&[newer.clone(), path.clone()], None, false).unwrap();
        let texts: Vec<&[u8]> = both.secrets().iter().map(Secret::bytes).collect();
        assert_eq!(texts, [&b"of the newer file, 0123456789"[..], b"of the file, 0123456789"]);
        let three = Auth::of(&[newer.clone(), path.clone(), newer], None, false);
        assert!(three.unwrap_err().to_string().starts_with("--secret-file is there more than twice"));

        fs::write(&path, "short").unwrap();
        let refused = |path: &Path| of(path).unwrap_err().to_string();
        assert!(
            refused(&path).contains("is of no use: a herd's secret has 16 to 1024 bytes"),
            "{}",
            refused(&path)
        );
        fs::write(&path, "x".repeat(5_000)).unwrap();
        assert!(refused(&path).contains("is of no use"));
        assert!(refused(&dir.path().join("nothing")).starts_with("cannot read the secret file "));
    }
}
