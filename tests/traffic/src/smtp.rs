//! SMTP: RFC 5321, and STARTTLS of RFC 3207.

use crate::conversation::{Conversation, Protocol};
use crate::random::Random;
use crate::tls;

pub(crate) fn conversation(random: &mut Random) -> Conversation {
    let mut conversation = Conversation::empty(Protocol::Smtp);
    let server = format!("mail.{}.example", random.word());
    conversation.server(format!("220 {server} ESMTP Postfix\r\n"));
    conversation.client(format!("EHLO {}.example\r\n", random.word()));
    conversation.server(format!(
        "250-{server}\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250 8BITMIME\r\n"
    ));
    conversation.exchanged();
    if random.one_in(6) {
        conversation.client("STARTTLS\r\n");
        conversation.server("220 2.0.0 Ready to start TLS\r\n");
        tls::handshake(&mut conversation, random);
        return conversation;
    }
    for _ in 0..random.between(1, 3) {
        let (from, to) = (random.word(), random.word());
        conversation.client(format!("MAIL FROM:<{from}@a.example>\r\n"));
        conversation.server("250 2.1.0 Ok\r\n");
        conversation.client(format!("RCPT TO:<{to}@b.example>\r\n"));
        conversation.server("250 2.1.5 Ok\r\n");
        conversation.client("DATA\r\n");
        conversation.server("354 End data with <CR><LF>.<CR><LF>\r\n");
        let (subject, body) = (random.prose(20), random.prose(400));
        conversation.client(format!(
            "From: {from}@a.example\r\nSubject: {subject}\r\n\r\n{body}\r\n.\r\n"
        ));
        conversation.server(format!("250 2.0.0 Ok: queued as {:X}\r\n", random.number()));
    }
    conversation.client("QUIT\r\n");
    conversation.server("221 2.0.0 Bye\r\n");
    conversation
}
