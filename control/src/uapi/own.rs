//! What `wg` calls the interface: the server's private key and port. They are the dataplane's and cannot be changed
//! here; a request that says them as they are is granted, so that `wg setconf` takes what `wg showconf` gives.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustix::io::Errno;
use wireguard::noise;
use wireguard::secret::Secret;
use zeroize::Zeroizing;

use super::Error;
use super::set::Set;
use super::wrong::Wrong;
use crate::desk::Server;
use crate::model::{PublicKey, key};

/// Octets of a key's file that are looked at; a key in base64 takes 44, and an end of line.
const KEY_FILE_LEN_MAX: usize = 128;

/// Reads a private key in base64.
pub(super) fn read_key(path: &Path) -> Result<Secret, Error> {
    let because = |what: &str| Error::new(format!("{}: {what}", path.display()));
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY_FILE_LEN_MAX));
    File::open(path)
        .and_then(|file| file.take(KEY_FILE_LEN_MAX as u64).read_to_string(&mut text))
        .map_err(|error| {
            because(&format!("cannot be read ({error}); name the file of the private key"))
        })?;
    let octets = key::decode::<32>(&text).map(Zeroizing::new);
    let octets = octets.ok_or_else(|| because("is no key; make one with `wg genkey`"))?;
    Ok(Secret::new(*octets))
}

/// The private key that may be shown: the one of our configuration, unless the dataplane has another.
pub(super) fn shown_key<'a>(
    configured: Option<&'a Secret>,
    server: Option<&Server>,
) -> Option<&'a Secret> {
    configured.filter(|key| {
        let own = server.is_none_or(|server| public(key) == server.public_key);
        if !own {
            log::warn!(
                "[wireguard] private_key_file is not the dataplane's key, so `wg` is shown none; \
                 name the same file in both configurations"
            );
        }
        own
    })
}

/// Whether what a request says of the interface is so already. Zeros are what `wg setconf` sends for what its file
/// does not say; they leave it as it is.
pub(super) fn check(
    set: &Set,
    configured: Option<&Secret>,
    server: Option<&Server>,
) -> Result<(), Wrong> {
    if let Some(key) = set.private_key.as_ref().filter(|key| !key.is_zero()) {
        let same = match server {
            Some(server) => public(key) == server.public_key,
            None => configured.ok_or_else(|| unheard("private_key"))? == key,
        };
        if !same {
            return Err(elsewhere("private_key is not this server's", "private_key_file"));
        }
    }
    if let Some(port) = set.listen_port.filter(|port| *port != 0) {
        let own = server.ok_or_else(|| unheard("listen_port"))?.listen_port;
        if port != own {
            return Err(elsewhere(&format!("listen_port is {own} and not {port}"), "listen_port"));
        }
    }
    if set.fwmark.is_some_and(|mark| mark != 0) {
        let what = "fwmark marks what the kernel sends, and the dataplane does not send by it; \
                    leave it out or 0";
        return Err(Wrong::new(Errno::OPNOTSUPP, what));
    }
    Ok(())
}

fn public(key: &Secret) -> PublicKey {
    PublicKey(noise::public(key))
}

fn elsewhere(what: &str, field: &str) -> Wrong {
    let remedy = format!("change {field} in the dataplane's configuration, or leave it out here");
    Wrong::new(Errno::OPNOTSUPP, format!("{what}; {remedy}"))
}

fn unheard(field: &str) -> Wrong {
    let what =
        format!("{field} cannot be compared before the dataplane was heard; start it, or leave");
    Wrong::new(Errno::AGAIN, format!("{what} {field} out"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server { public_key: public(&Secret::new([7; 32])), listen_port: 51820, peers_max: 9 }
    }

    fn of(lines: &str) -> Set {
        let mut set = Set::default();
        lines.lines().for_each(|line| set.line(line.as_bytes()).unwrap());
        set
    }

    fn key(octet: u8) -> String {
        format!("private_key={}\n", format!("{octet:02x}").repeat(32))
    }

    #[test]
    fn what_is_so_already_and_what_is_left_unsaid_is_granted() {
        let (server, configured) = (server(), Secret::new([7; 32]));
        let unsaid = key(0) + "listen_port=0\nfwmark=0\n";
        check(&of(&unsaid), None, None).unwrap();
        check(&of(&(key(7) + "listen_port=51820\n")), None, Some(&server)).unwrap();
        check(&of(&key(7)), Some(&configured), None).unwrap();
    }

    #[test]
    fn what_is_the_dataplanes_to_change_is_refused() {
        let (server, configured) = (server(), Secret::new([7; 32]));
        let cases = [
            (key(8), Some(&server), Errno::OPNOTSUPP),
            (key(8), None, Errno::OPNOTSUPP),
            ("listen_port=1".to_owned(), Some(&server), Errno::OPNOTSUPP),
            ("listen_port=1".to_owned(), None, Errno::AGAIN),
            ("fwmark=1".to_owned(), Some(&server), Errno::OPNOTSUPP),
        ];
        for (lines, server, errno) in cases {
            let refused = check(&of(&lines), Some(&configured), server).unwrap_err();
            assert_eq!(refused.errno, errno, "{refused:?}");
        }
        assert_eq!(check(&of(&key(7)), None, None).unwrap_err().errno, Errno::AGAIN);
    }

    #[test]
    fn a_key_that_is_not_the_dataplanes_is_not_shown() {
        let (server, own, other) = (server(), Secret::new([7; 32]), Secret::new([8; 32]));
        assert!(shown_key(Some(&own), Some(&server)).is_some());
        assert!(shown_key(Some(&other), Some(&server)).is_none());
        assert!(shown_key(Some(&own), None).is_some());
        assert!(shown_key(None, Some(&server)).is_none());
    }

    #[test]
    fn a_key_is_read_from_a_file_and_what_is_none_is_refused_without_being_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("private_key");
        std::fs::write(&path, key::encode(&[7; 32]) + "\n").unwrap();
        assert_eq!(read_key(&path).unwrap(), Secret::new([7; 32]));
        std::fs::write(&path, "secret").unwrap();
        let said = read_key(&path).unwrap_err().to_string();
        assert!(said.ends_with("private_key: is no key; make one with `wg genkey`"), "{said}");
        let missing = read_key(&directory.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("none: cannot be read"), "{missing}");
    }
}
