//! TLS and client certificates by hand, as the README has it: the real programs, and the authority that the platform
//! made for itself.

use std::path::Path;

use gatepost_tests::{live::Live, processes::Process, world::until};
use tempfile::TempDir;

/// Runs `gatepost` to its end, well, and returns what it said.
async fn gatepost(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let ended = Process::start("gatepost", arguments, environment).ended().await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.said);
    ended.said
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test]
async fn tls_is_tried_by_a_flag_and_what_breaks_is_told() {
    let live = Live::serve_with(&["--tls"], &[("GATEPOST_TLS__RELOAD_EVERY", "1s")]).await;
    assert!(live.log().contains("a development authority was made"), "{}", live.log());
    let (folder, tls) = (text(live.data_dir()), live.data_dir().join("tls"));
    let ca = text(&tls.join("ca.pem"));
    let url = live.url();
    let admin = ["admin", "--address", &url, "--ca", &ca, "--data-dir", &folder];
    gatepost(&[&admin[..], &["courier", "create", "swift-express", "--name", "Swift"]].concat(), &[]).await;
    let said = gatepost(&[&admin[..], &["key", "list"]].concat(), &[]).await;
    assert!(said.contains("administrator"), "{said}");

    let metric = async |line: &str| live.http("/metrics").await.1.lines().any(|found| found == line);
    until("the files are served", async || metric("gatepost_tls_files_usable 1").await).await;
    let metrics = live.http("/metrics").await.1;
    let left = metrics.lines().find_map(|line| {
        line.strip_prefix("gatepost_tls_certificate_expires_in_seconds{certificate=\"server\"} ")?.parse::<u64>().ok()
    });
    assert!(left.is_some_and(|left| (31_000_000..=31_536_000).contains(&left)), "a year is left: {left:?}");
    let certificate = tls.join("server.pem");
    let whole = std::fs::read(&certificate).unwrap();
    std::fs::write(&certificate, "no certificate").unwrap();
    until("the broken file is noticed", async || metric("gatepost_tls_files_usable 0").await).await;
    until("it is told", async || live.log().contains("cannot be used, the old ones are served on")).await;
    gatepost(&[&admin[..], &["key", "list"]].concat(), &[]).await;
    std::fs::write(&certificate, whole).unwrap();
    until("the mended file is noticed", async || metric("gatepost_tls_files_usable 1").await).await;
}

#[tokio::test]
async fn nobody_comes_without_a_certificate_when_they_are_required() {
    let live = Live::serve_with(&["--mtls"], &[]).await;
    let (folder, ca) = (text(live.data_dir()), text(&live.data_dir().join("tls/ca.pem")));
    let url = live.url();
    // Not the data folder, which has the worker's key of the first start.
    let issued = TempDir::new().unwrap();
    let output = text(issued.path());
    let issue = async |subject: &[&str]| {
        let arguments = ["issue-certificate", "--data-dir", &folder, "--output", &output];
        let said = gatepost(&[&arguments[..], subject].concat(), &[]).await;
        let mut files: Vec<_> = said.lines().map(str::to_owned).collect();
        files.sort();
        let [key, certificate] = &files[..] else { panic!("two files: {said}") };
        (certificate.clone(), key.clone())
    };
    let admin = ["admin", "--address", &url, "--ca", &ca, "--data-dir", &folder];
    let list = [&admin[..], &["courier", "list"]].concat();
    let ended = Process::start("gatepost", &list, &[]).ended().await;
    assert_eq!(ended.code, Some(1), "without a certificate: {}", ended.said);

    let (certificate, key) = issue(&["administrator"]).await;
    let shown = [("GATEPOST_CERTIFICATE", &*certificate), ("GATEPOST_CERTIFICATE_KEY", &*key)];
    gatepost(&list, &shown).await;
    gatepost(&[&admin[..], &["courier", "create", "swift-express", "--name", "Swift"]].concat(), &shown).await;

    let (certificate, key) = issue(&["worker"]).await;
    let arguments = ["run", "--platform", &url, "--ca", &ca, "--certificate", &certificate, "--certificate-key", &key];
    let mut worker = Process::start("gatepost-vision", &arguments, &[]);
    worker.says("welcomed by the platform").await.expect("its certificate is all it needs");

    let (certificate, key) = issue(&["courier", "swift-express"]).await;
    assert!(certificate.ends_with("courier-swift-express.pem"), "{certificate}");
    let arguments =
        ["server", "--platform", &url, "--ca", &ca, "--certificate", &certificate, "--certificate-key", &key];
    let arguments = [&arguments[..], &["--listen", "127.0.0.1:0"]].concat();
    let mut courier = Process::start("courier-sim", &arguments, &[]);
    courier.says("terminals connect to").await.expect("the courier's server starts");
    until("the courier follows its events", async || {
        let metrics = live.http("/metrics").await.1;
        metrics.lines().any(|line| line.starts_with("gatepost_event_streams") && line.ends_with(" 1"))
    })
    .await;
}
