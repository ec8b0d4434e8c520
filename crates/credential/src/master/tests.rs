//! Scenes around the master key: first start, second start, and everything that must be refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use model::{Secret, SeededEntropy};

use super::{KEY_FILE, MasterKey, MasterKeyError, MasterKeyOrigin, MasterKeySources};

const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

async fn start(folder: &Path, may_make: bool) -> Result<(MasterKey, MasterKeyOrigin), MasterKeyError> {
    let sources =
        MasterKeySources { data_folder: Some(folder.to_owned()), may_make, ..MasterKeySources::default() };
    MasterKey::load(sources, &SeededEntropy::new(1)).await
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn the_first_start_makes_a_private_key_file_and_the_second_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let (first, origin) = start(folder.path(), true).await.unwrap();
    let path = folder.path().join(KEY_FILE);
    assert_eq!(origin, MasterKeyOrigin::Made(path.clone()));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    let (second, origin) = start(folder.path(), true).await.unwrap();
    assert_eq!(origin, MasterKeyOrigin::DataFolder(path));
    assert_eq!(first.key_digester().digest("x"), second.key_digester().digest("x"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the key");
}

#[tokio::test]
async fn a_lost_key_file_is_not_replaced_after_the_first_start() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(start(folder.path(), false).await, Err(MasterKeyError::Missing)));
    assert!(!folder.path().join(KEY_FILE).exists());
}

#[tokio::test]
async fn a_key_file_that_others_may_read_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(KEY_FILE);
    for mode in [0o640, 0o604, 0o644] {
        write(&path, HEX, mode);
        let error = start(folder.path(), true).await.unwrap_err();
        assert!(matches!(error, MasterKeyError::TooOpen { .. }), "{mode:o}");
        assert!(error.fault().hint.starts_with("chmod 600 "));
        assert!(!error.fault().to_string().contains(HEX));
    }
}

#[tokio::test]
async fn the_file_comes_before_the_text_and_the_text_before_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("elsewhere");
    write(&path, &format!("{HEX}\n"), 0o600);
    let run = |_: Vec<String>| -> std::pin::Pin<Box<dyn Future<Output = Result<Secret, String>> + Send>> {
        Box::pin(async { Ok(Secret::new(BASE64)) })
    };
    let sources = |file: bool, text: bool| MasterKeySources {
        file: file.then(|| path.clone()),
        text: text.then(|| Secret::new(HEX)),
        command: Some((vec!["print-key".to_owned()], &run)),
        data_folder: Some(folder.path().to_owned()),
        may_make: true,
    };
    let entropy = SeededEntropy::new(1);
    for (file, text, expected) in [
        (true, true, MasterKeyOrigin::File(path.clone())),
        (false, true, MasterKeyOrigin::Environment),
        (false, false, MasterKeyOrigin::Command),
    ] {
        let (key, origin) = MasterKey::load(sources(file, text), &entropy).await.unwrap();
        assert_eq!(origin, expected);
        // The three spell the same key in three ways.
        let hex = MasterKey::parse(HEX, "test").unwrap();
        assert_eq!(key.key_digester().digest("x"), hex.key_digester().digest("x"));
    }
    assert!(!folder.path().join(KEY_FILE).exists(), "no key is made when one is given");
}

#[tokio::test]
async fn a_failing_command_is_an_error_and_not_a_reason_to_make_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let run = |_: Vec<String>| -> std::pin::Pin<Box<dyn Future<Output = Result<Secret, String>> + Send>> {
        Box::pin(async { Err("exit status 3".to_owned()) })
    };
    let sources = MasterKeySources {
        command: Some((vec!["print-key".to_owned()], &run)),
        data_folder: Some(folder.path().to_owned()),
        may_make: true,
        ..MasterKeySources::default()
    };
    let error = MasterKey::load(sources, &SeededEntropy::new(1)).await.unwrap_err();
    assert!(error.fault().detail.contains("exit status 3"));
    assert!(!folder.path().join(KEY_FILE).exists());
}

#[test]
fn short_long_foreign_and_regular_keys_are_refused_without_being_repeated() {
    let regular = ["7".repeat(64), "ab".repeat(32), "0123456789abcdef".repeat(4)];
    for text in &regular {
        assert!(matches!(MasterKey::parse(text, "test"), Err(MasterKeyError::Weak { .. })), "{text}");
    }
    for text in ["", "secret", &HEX[1..], &format!("{HEX}00"), &HEX.replace('0', "g"), "AAEC"] {
        let error = MasterKey::parse(text, "test").unwrap_err();
        assert!(matches!(error, MasterKeyError::Malformed { .. }), "{text}");
        assert!(text.is_empty() || !error.to_string().contains(text));
    }
}

#[test]
fn it_cannot_print_itself_and_labels_separate_what_is_derived() {
    let key = MasterKey::parse(HEX, "test").unwrap();
    assert_eq!(format!("{key:?}"), "MasterKey(****)");
    assert_ne!(*key.derive("a", "b"), *key.derive("a", "c"));
    assert_ne!(*key.derive("a", "b"), *key.derive("ab", ""));
}

#[test]
fn a_key_with_the_pepper_of_another_keeps_its_api_keys_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let old = MasterKey::parse(&"00112233445566778899aabbccddeeff".repeat(2), "old").unwrap();
    let path = folder.path().join("new.key");
    let new = MasterKey::make_file(&path, &SeededEntropy::new(3)).unwrap();
    assert_ne!(new.key_digester().digest("trk_a"), old.key_digester().digest("trk_a"));
    new.with_pepper_of(&old).write(&path).unwrap();
    let read = MasterKey::from_file(&path).unwrap();
    assert_eq!(read.key_digester().digest("trk_a"), old.key_digester().digest("trk_a"));
    assert_eq!(read.wrapping_key().id(), new.wrapping_key().id());
    assert_ne!(read.wrapping_key().id(), old.wrapping_key().id());
    // A third one goes on with the first one's.
    let third = MasterKey::make_file(&folder.path().join("third.key"), &SeededEntropy::new(4)).unwrap();
    let third = third.with_pepper_of(&read);
    assert_eq!(third.key_digester().digest("trk_a"), old.key_digester().digest("trk_a"));
    let text = std::fs::read_to_string(&path).unwrap();
    let cut = text.trim_end().strip_suffix(|_: char| true).unwrap();
    assert!(matches!(MasterKey::parse(cut, "cut"), Err(MasterKeyError::Malformed { .. })));
}
