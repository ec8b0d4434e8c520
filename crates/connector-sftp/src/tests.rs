//! Pins and paths. What speaks to a server is shown by the scenes, against OpenSSH.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use russh::keys::ssh_key::PublicKey;

use crate::path::{is_inside, words};
use crate::pin::{fingerprint, read};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

fn key() -> PublicKey {
    PublicKey::from_openssh(OTHER).unwrap()
}

#[test]
fn a_pin_is_a_fingerprint_a_key_or_a_line_of_known_hosts_and_fits_no_other_key() {
    let key = key();
    let print = fingerprint(&key);
    for text in [print.clone(), format!("{OTHER} comment"), format!("# old\n\n[h]:22,1.2.3.4 {OTHER} c")] {
        let pins = read(&text).unwrap();
        assert!(pins.len() == 1 && pins[0].fits(&key), "{text}");
    }
    assert!(!read(&format!("SHA256:{}", "A".repeat(43))).unwrap()[0].fits(&key));
    for bad in ["SHA256:abc", "MD5:00:11", "ssh-ed25519", "@cert-authority * x", KEY] {
        let told = read(bad).unwrap_err();
        assert!(told.detail.contains("host_key: line 1"), "{bad}: {}", told.detail);
    }
    assert!(read(&format!("{print}\n").repeat(17)).unwrap_err().detail.contains("at most 16"));
}

#[test]
fn words_of_a_path_stay_below() {
    assert_eq!(words("path", "/a//./b/").unwrap(), ["a", "b"]);
    assert!(words("path", ".").unwrap().is_empty());
    for bad in ["..", "a/../b", "/..", "a\0b", "a\nb"] {
        assert!(words("path", bad).is_err(), "{bad:?}");
    }
    assert!(words("path", &"x".repeat(256)).is_err());
    assert!(words("path", &"x/".repeat(2_049)).is_err());
}

#[test]
fn inside_is_the_folder_and_below_it_not_beside() {
    for (root, real, is) in [
        ("/srv/f", "/srv/f", true),
        ("/srv/f", "/srv/f/a", true),
        ("/srv/f", "/srv/files", false),
        ("/srv/f", "/srv", false),
        ("/srv/f", "/srv/f/../x", false),
        ("/", "/etc", true),
    ] {
        assert_eq!(is_inside(root, real), is, "{root} {real}");
    }
}
