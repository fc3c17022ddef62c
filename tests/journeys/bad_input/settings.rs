//! Settings that cannot be meant: the real program names the key and does not start.

use gatepost_tests::{live::Live, processes::Process};
use tempfile::TempDir;

/// Starts `gatepost serve` with these settings; what it said when it gave up.
async fn given_up(file: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("gatepost.toml");
    std::fs::write(&path, file).unwrap();
    let (path, data_dir) = (path.display().to_string(), folder.path().join("data").display().to_string());
    let mut all = vec!["serve", "--config", &path, "--data-dir", &data_dir];
    if !arguments.contains(&"--listen") {
        all.extend(["--listen", "127.0.0.1:0"]);
    }
    all.extend(["--metrics", "127.0.0.1:0"]);
    all.extend(arguments);
    let ended = Process::start("gatepost", &all, environment).ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(!folder.path().join("data/gatepost.db").exists(), "nothing was begun");
    ended.said
}

#[tokio::test]
async fn an_unknown_key_is_named_and_nothing_starts() {
    let in_file = [
        ("[timers]\nleese = \"5s\"\n", "timers.leese"),
        ("[retention]\ndays = 5\n", "retention.days"),
        ("webhok = \"x\"\n", "webhok"),
        ("[telemetry]\nlog_filter = \"info\"\nlog_fliter = \"info\"\n", "telemetry.log_fliter"),
    ];
    for (file, key) in in_file {
        let said = given_up(file, &[], &[]).await;
        assert!(said.contains(&format!("unknown configuration key `{key}` (from file)")), "{said}");
    }
    let said = given_up("", &[], &[("GATEPOST_TIMERS__LEESE", "5s")]).await;
    assert!(said.contains("unknown configuration key `timers.leese` (from GATEPOST_TIMERS__LEESE)"), "{said}");
}

#[tokio::test]
async fn a_value_of_the_wrong_kind_is_refused_without_repeating_it() {
    let secret = "hunter2-hunter2";
    let cases = [
        (format!("[timers]\nbatch = \"{secret}\"\n"), vec![], "timers.batch"),
        (format!("[webhook]\nurl = \"http://127.0.0.1/\"\nsecret = \"{secret}\"\n"), vec![], "webhook.secret"),
        (format!("[smtp]\nurl = \"http://{secret}@127.0.0.1/\"\n"), vec![], "smtp.url"),
        (format!("[smtp]\nurl = \"smtp://{secret}\n"), vec![], "line 2"),
        (String::new(), vec![("GATEPOST_VISION__SHOW_FOR", secret)], "vision.show_for"),
        ("[timers]\nkind = \"redis\"\n".to_owned(), vec![], "timers.redis_urls"),
        ("[timers]\nshards = 0\n".to_owned(), vec![], "timers.shards"),
        ("[vision]\nsimilarity_min = 7.0\n".to_owned(), vec![], "vision.similarity_min"),
        (String::new(), vec![("GATEPOST_TLS__CERTIFICATE", "/nowhere.pem")], "tls.certificate"),
        ("[tls]\nclient_ca = \"/nowhere.pem\"\n".to_owned(), vec![], "tls.client_ca needs tls.certificate"),
        ("[tls]\nclient_certificates = \"required\"\n".to_owned(), vec![], "needs tls.client_ca"),
        (
            "[tls]\ncertificate = \"/nowhere.pem\"\nkey = \"/nowhere.key\"\n".to_owned(),
            vec![],
            "/nowhere.pem cannot be read",
        ),
        ("[oidc]\nissuer = \"https://id.example.org\"\n".to_owned(), vec![], "oidc.audience"),
        ("[oidc]\nissuer = \"https://id.example.org\"\naudience = \"gatepost\"\n".to_owned(), vec![], "oidc.roles"),
        (
            "[oidc]\nissuer = \"http://id.example.org\"\naudience = \"gatepost\"\nroles = [{ name = \"chief\" }]\n"
                .to_owned(),
            vec![],
            "https",
        ),
        (
            String::new(),
            vec![
                ("GATEPOST_OIDC__ISSUER", "https://id.example.org"),
                ("GATEPOST_OIDC__AUDIENCE", "gatepost"),
                ("GATEPOST_OIDC__ROLES", r#"[{name="chief",scopes=["announce"]}]"#),
            ],
            "read, manage or keys",
        ),
        (String::new(), vec![("GATEPOST_TELEMETRY__LOG_FILTER", "info,=")], "log filter"),
    ];
    for (file, environment, key) in cases {
        let said = given_up(&file, &[], &environment).await;
        assert!(said.contains(key), "{key}: {said}");
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test]
async fn plain_text_to_other_machines_must_be_asked_for() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let said = given_up("", &["--listen", address], &[]).await;
        assert!(said.contains("without TLS") && said.contains("--insecure"), "{said}");
    }
    let said = given_up("[listen]\ngrpc = \"0.0.0.0:0\"\n", &["--listen", "0.0.0.0:0"], &[]).await;
    assert!(said.contains("without TLS"), "{said}");
    // Asked for, it is served.
    let live = Live::serve(&[("GATEPOST_LISTEN__INSECURE", "true")]).await;
    assert_eq!(live.http("/healthz").await, (200, "ok\n".to_owned()));
}
