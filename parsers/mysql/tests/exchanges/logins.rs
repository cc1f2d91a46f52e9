//! Who the client is, and what is agreed on before the first command.

use super::*;

#[test]
fn a_change_of_user_forgets_prepared_statements() {
    for (change, answer) in [
        (
            command(0x11, b"bob\0\x06secretshop\0"),
            packet(1, &ok(0, 2)),
        ),
        (command(0x1f, b""), packet(1, &ok(0, 2))),
    ] {
        let report = run(started(0)
            .client(prepare("do 1"))
            .server(prepared(7, 0, 0, false))
            .client(change)
            .server(answer)
            .client(execute(7, 0))
            .server(packet(1, &error(1243, "HY000"))));
        assert_eq!(brief(&report.spans), ["- 1243"]);
    }
}

#[test]
fn logins_of_every_kind_lead_to_commands_and_leave_no_secret() {
    let capabilities = BASE | CONNECT_WITH_DB;
    let after = |conversation: Conversation, sequence| {
        conversation
            .server(packet(sequence, &ok(0, 2)))
            .client(query("select 1"))
            .server(result(1, &rows(1), false, 2))
    };
    let greeted = || Conversation::new().server(greeting("8.4.0", ALL));
    let cases = [
        after(
            greeted()
                .client(login(1, capabilities))
                .server(packet(2, b"\xfemysql_native_password\0salt\0"))
                .client(packet(3, b"secretsecret")),
            4,
        ),
        after(
            greeted()
                .client(login(1, capabilities))
                .server(packet(2, b"\xfe"))
                .client(packet(3, b"secret\0")),
            4,
        ),
        after(
            greeted()
                .client(login(1, capabilities))
                .server(packet(2, b"\x01\x04"))
                .client(packet(3, b"\x02"))
                .server(packet(4, b"\x01-----BEGIN PUBLIC KEY-----"))
                .client(packet(5, b"secret")),
            6,
        ),
        after(
            greeted()
                .client(login(1, capabilities))
                .server(packet(2, b"\x01\x03")),
            3,
        ),
        after(
            Conversation::new()
                .server(greeting("5.5.5-10.11.2-MariaDB", ALL & !1))
                .client(login(1, capabilities & !1)),
            2,
        ),
    ];
    for conversation in cases {
        let report = run(conversation);
        assert_eq!(brief(&report.spans), ["select 1 ok 1"]);
        assert!(!format!("{report:?}").contains("secret"));
    }
    let mariadb = run(after(
        Conversation::new()
            .server(greeting("5.5.5-10.11.2-MariaDB", ALL & !1))
            .client(login(1, capabilities & !1)),
        2,
    ));
    assert_eq!(mariadb.spans[0].text("db.system.name"), Some("mariadb"));
    let refused = run(greeted()
        .client(login(1, capabilities))
        .server(packet(2, &error(1045, "28000"))));
    assert_eq!((refused.spans.len(), refused.end), (0, None));
    let blocked = run(Conversation::new().server(packet(0, b"\xff\x69\x04Host is blocked")));
    assert_eq!(
        blocked.end,
        Some(End::Ignored("refused by the server".into()))
    );
}

#[test]
fn tls_is_handed_over_and_what_is_within_goes_on() {
    let ask = &login(1, BASE | SSL)[..36];
    let mut ask = ask.to_vec();
    ask[0] = 32;
    let report = run(Conversation::new()
        .server(greeting("5.5.5-10.11.2-MariaDB", ALL))
        .client([&ask[..], b"\x16\x03\x01\x00\x05hello"].concat())
        .server(b"\x16\x03\x03\x00\x05hello"));
    let Some(End::Upgraded {
        protocol,
        client,
        context,
        ..
    }) = &report.end
    else {
        panic!("handed over: {report:?}")
    };
    assert_eq!((&protocol[..], *client), ("", 36));
    let context = String::from_utf8(context.iter().map(|byte| byte & 0x7f).collect());
    assert!(context.is_ok());
    let within = run(Conversation::new()
        .fact(wirespan_sdk::fact::TLS, 1, "")
        .client(login(2, BASE | CONNECT_WITH_DB))
        .server(packet(3, &ok(0, 2)))
        .client(query("select 1"))
        .server(result(1, &rows(1), false, 2)));
    assert_eq!(brief(&within.spans), ["select 1 ok 1"]);
    assert_eq!(within.spans[0].text("db.namespace"), Some("shop"));
}

#[test]
fn replication_and_old_logins_are_set_aside() {
    let ended = |conversation| run(conversation).end;
    let dump = command(0x12, &[4, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'f']);
    let reason = |text: &str| Some(End::Ignored(text.into()));
    let replica = started(0)
        .client(command(0x15, &[0; 17]))
        .server(packet(1, &ok(0, 2)))
        .client(dump)
        .server(packet(1, &[0; 40]));
    assert_eq!(ended(replica), reason("replication"));
    let old = Conversation::new()
        .server(greeting("3.23.58", 0))
        .client(packet(1, b"\x05\0\0\0\x01root\0\0"));
    assert_eq!(ended(old), reason("login before protocol 4.1"));
    let other = Conversation::new().server("SSH-2.0-OpenSSH_9.6\r\n");
    assert_eq!(ended(other), Some(End::NotMine));
}
