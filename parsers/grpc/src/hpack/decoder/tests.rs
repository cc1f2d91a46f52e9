use super::*;

/// `name: value` of each field; `?n` for an entry that was never seen.
#[derive(Default)]
struct Fields(Vec<String>);

impl Sink for Fields {
    fn field(&mut self, field: Field<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let name = match field.text {
            Some(name) => text(name),
            None => format!("{:?}", field.name),
        };
        let value = match field.value {
            Value::Known(value) => text(value),
            Value::Unseen(number) => format!("?{number}"),
            Value::Dropped => "-".into(),
        };
        self.0.push(format!("{name} {value}"));
    }
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Error> {
    let mut fields = Fields::default();
    decoder.decode(block, &mut fields).map(|()| fields.0)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// RFC 7541, C.4: three requests with Huffman coding on one connection.
#[test]
fn requests_of_the_rfc() {
    let mut decoder = Decoder::new();
    let first = decode(&mut decoder, &hex("828684418cf1e3c2e5f23a6ba0ab90f4ff"));
    let first = first.unwrap();
    assert_eq!(
        first,
        [
            "Method GET",
            "Scheme http",
            "Path /",
            "Authority www.example.com"
        ]
    );
    let second = decode(&mut decoder, &hex("828684be5886a8eb10649cbf")).unwrap();
    assert_eq!(second[3..], ["Authority www.example.com", "Other -"]);
    let third = hex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf");
    let third = decode(&mut decoder, &third).unwrap();
    assert_eq!(
        third[2..4],
        ["Path /index.html", "Authority www.example.com"]
    );
}

/// RFC 7541, C.6: responses in a table of 256 bytes, so that entries are evicted.
#[test]
fn responses_of_the_rfc_with_eviction() {
    let mut decoder = Decoder::new();
    assert_eq!(decode(&mut decoder, &hex("3fe101")), Ok(vec![]));
    let first = "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3";
    assert_eq!(decode(&mut decoder, &hex(first)).unwrap()[0], "Status 302");
    let second = decode(&mut decoder, &hex("4883640effc1c0bf")).unwrap();
    assert_eq!(second, ["Status 307", "Other -", "Other -", "Other -"]);
    let third = "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007";
    assert_eq!(decode(&mut decoder, &hex(third)).unwrap()[0], "Status 200");
    // Three entries are left.
    assert!(decode(&mut decoder, &hex("c0")).is_ok());
    assert_eq!(decode(&mut decoder, &hex("c1")), Err(Error::Index));
}

fn insert(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0x40, name.len() as u8];
    bytes.extend(name.bytes());
    bytes.push(value.len() as u8);
    bytes.extend(value.bytes());
    bytes
}

#[test]
fn what_was_inserted_since_joining_resolves_and_the_rest_keeps_its_number() {
    let mut decoder = Decoder::joined();
    assert_eq!(
        decode(&mut decoder, &[0xbe, 0xc0]).unwrap(),
        ["Unknown ?1", "Unknown ?3"]
    );
    decode(&mut decoder, &insert(":path", "/a")).unwrap();
    let block = [0xbe, 0xbf, 0xc1];
    let expected = ["Path /a", "Unknown ?1", "Unknown ?3"];
    assert_eq!(decode(&mut decoder, &block).unwrap(), expected);
    decode(&mut decoder, &insert("x", "1")).unwrap();
    assert_eq!(decode(&mut decoder, &[0xbf]).unwrap(), ["Path /a"]);
    // A literal that takes its name from an unseen entry.
    let block = [0x40 | 0x3f, 5, 1, b'v', 0xbe];
    assert_eq!(
        decode(&mut decoder, &block).unwrap(),
        ["Unknown -", "Unknown -"]
    );
    // What is inserted in between moves everything by one, known or not.
    assert_eq!(decode(&mut decoder, &[0xc0]).unwrap(), ["Path /a"]);
    assert_eq!(decode(&mut decoder, &[0xc1]).unwrap(), ["Unknown ?1"]);
}

#[test]
fn an_emptied_table_is_known_again() {
    let mut decoder = Decoder::joined();
    decode(&mut decoder, &[0x20, 0x3f, 0xe1, 0x1f]).unwrap();
    decode(&mut decoder, &insert(":path", "/a")).unwrap();
    assert_eq!(decode(&mut decoder, &[0xbe]).unwrap(), ["Path /a"]);
    assert_eq!(decode(&mut decoder, &[0xbf]), Err(Error::Index));
}

#[test]
fn errors_close_the_direction() {
    let cases: [(&[u8], Error); 9] = [
        (&[0x80], Error::Index),
        (&[0xbe], Error::Index),
        (&[0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f], Error::Integer),
        (&[0x3f, 0xe2, 0x1f], Error::TableSize),
        (&[0x82, 0x20], Error::TableSize),
        (&[0x44, 0x05, b'/'], Error::Truncated),
        (&[0x44], Error::Truncated),
        (&[0x44, 0x81, 0xff], Error::Huffman),
        (&[0x40, 0x84, 0xff, 0xff, 0xff, 0xff], Error::Huffman),
    ];
    for (block, error) in cases {
        let mut decoder = Decoder::new();
        assert_eq!(decode(&mut decoder, block), Err(error), "{block:?}");
        assert_eq!(decode(&mut decoder, &[0x82]), Err(Error::Closed));
    }
}

#[test]
fn every_prefix_of_a_block_is_decoded_or_truncated() {
    let block = [
        &[0x82, 0x86][..],
        &insert(":path", "/abc"),
        &[0x41, 0x81, 0x1f],
    ]
    .concat();
    for len in 0..block.len() {
        let result = decode(&mut Decoder::new(), &block[..len]);
        assert!(
            matches!(result, Ok(_) | Err(Error::Truncated)),
            "{len}: {result:?}"
        );
    }
}

#[test]
fn a_large_table_keeps_the_newest_entries() {
    let mut decoder = Decoder::new();
    decoder.allow(1 << 20);
    decode(&mut decoder, &[0x3f, 0xe1, 0xff, 0x3f]).unwrap();
    for _ in 0..3000 {
        decode(&mut decoder, &insert("x", "1")).unwrap();
    }
    assert_eq!(decode(&mut decoder, &[0xbe]).unwrap(), ["Other -"]);
    // The 2500th: there, but not kept.
    let index = [0xff, 0xc4 | 0x80, 0x12];
    assert_eq!(decode(&mut decoder, &index).unwrap(), ["Unknown ?0"]);
}
