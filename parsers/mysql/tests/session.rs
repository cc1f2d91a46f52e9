//! What is known of the session: the database in use, and what the server is.

#[expect(dead_code, reason = "not all messages are needed here")]
mod messages;

use messages::*;
use wirespan_parser_mysql::Mysql;
use wirespan_sdk::Cause;
use wirespan_sdk::testkit::{Conversation, check_cuts};

#[test]
fn a_statement_longer_than_is_kept_leaves_the_database_known_if_it_was_one() {
    let long = format!("insert into t values ('{}')", "x".repeat(200_000));
    let namespaces = |answer: Vec<u8>| {
        let conversation = logged_in(BASE | MULTI_STATEMENTS | CONNECT_WITH_DB)
            .client(query(&long))
            .server(answer)
            .client(query("select 1"))
            .server(result(1, &rows(1), false, 2))
            .close(Cause::Finished);
        let spans = check_cuts::<Mysql>(&conversation, 20, 5).spans;
        let names = spans.iter().map(|span| span.text("db.namespace").is_some());
        names.collect::<Vec<_>>()
    };
    assert_eq!(namespaces(packet(1, &ok(1, 2))), [true, true]);
    let two = [packet(1, &ok(1, 2 | MORE)), packet(2, &ok(1, 2))].concat();
    assert_eq!(namespaces(two), [true, false]);
}

#[test]
fn a_database_chosen_before_the_failing_statement_of_several_is_unknown() {
    let conversation = logged_in(BASE | MULTI_STATEMENTS | CONNECT_WITH_DB)
        .client(query("use other; selec"))
        .server(
            [
                packet(1, &ok(0, 2 | MORE)),
                packet(2, &error(1064, "42000")),
            ]
            .concat(),
        )
        .client(query("select 1"))
        .server(result(1, &rows(1), false, 2))
        .close(Cause::Finished);
    let spans = check_cuts::<Mysql>(&conversation, 50, 5).spans;
    assert_eq!(spans[1].text("db.namespace"), None);
}

#[test]
fn mariadb_that_was_not_seen_to_greet_is_known_once_it_names_itself() {
    let message = "You have an error in your SQL syntax; check the manual that corresponds to your \
                   MariaDB server version for the right syntax to use near 'selec' at line 1";
    let failure = [&[0xff, 0x28, 0x04][..], b"#42000", message.as_bytes()].concat();
    let conversation = Conversation::mid_stream()
        .client(query("select 1"))
        .server(result(1, &rows(1), false, 2))
        .client(query("selec"))
        .server(packet(1, &failure))
        .close(Cause::Finished);
    let spans = check_cuts::<Mysql>(&conversation, 50, 5).spans;
    let systems: Vec<_> = spans.iter().map(|s| s.text("db.system.name")).collect();
    assert_eq!(systems, [Some("mysql"), Some("mariadb")]);
}
