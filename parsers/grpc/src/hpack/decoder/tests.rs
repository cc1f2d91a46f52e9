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

/// The examples of RFC 7541, appendix C: blocks of one direction, and what each stands for. Names and
/// values of all fields are compared.
fn check_examples(table_bytes: Option<u32>, blocks: &[(&str, &[&str])]) -> Decoder {
    let mut decoder = Decoder::new().keeping_everything();
    if let Some(bytes) = table_bytes {
        decoder.table.resize(bytes);
    }
    for (block, fields) in blocks {
        assert_eq!(
            decode(&mut decoder, &hex(block)).unwrap(),
            *fields,
            "{block}"
        );
    }
    decoder
}

#[test]
fn single_fields_of_the_rfc() {
    let cases = [
        // C.2.1: with indexing; C.2.2: without; C.2.3: never; C.2.4: indexed.
        (
            "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
            "custom-key custom-header",
        ),
        ("040c2f73616d706c652f70617468", ":path /sample/path"),
        ("100870617373776f726406736563726574", "password secret"),
        ("82", ":method GET"),
    ];
    for (index, (block, field)) in cases.into_iter().enumerate() {
        let mut decoder = check_examples(None, &[(block, &[field])]);
        // Only the first is in the table.
        assert_eq!(decode(&mut decoder, &[0xbe]).is_ok(), index == 0);
    }
}

/// What the three requests of C.3 and C.4 say.
const REQUESTS: [&[&str]; 3] = [
    &[
        ":method GET",
        ":scheme http",
        ":path /",
        ":authority www.example.com",
    ],
    &[
        ":method GET",
        ":scheme http",
        ":path /",
        ":authority www.example.com",
        "cache-control no-cache",
    ],
    &[
        ":method GET",
        ":scheme https",
        ":path /index.html",
        ":authority www.example.com",
        "custom-key custom-value",
    ],
];

/// RFC 7541, C.3 and C.4: on one connection, without and with Huffman coding.
#[test]
fn requests_of_the_rfc() {
    let plain = [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ];
    let coded = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    for blocks in [plain, coded] {
        let blocks: Vec<_> = blocks.into_iter().zip(REQUESTS).collect();
        let mut decoder = check_examples(None, &blocks);
        // Three entries are in the table.
        assert!(decode(&mut decoder, &hex("c0")).is_ok());
        assert_eq!(decode(&mut decoder, &hex("c1")), Err(Error::Index));
    }
}

/// What the three responses of C.5 and C.6 say.
const RESPONSES: [&[&str]; 3] = [
    &[
        ":status 302",
        "cache-control private",
        "date Mon, 21 Oct 2013 20:13:21 GMT",
        "location https://www.example.com",
    ],
    &[
        ":status 307",
        "cache-control private",
        "date Mon, 21 Oct 2013 20:13:21 GMT",
        "location https://www.example.com",
    ],
    &[
        ":status 200",
        "cache-control private",
        "date Mon, 21 Oct 2013 20:13:22 GMT",
        "location https://www.example.com",
        "content-encoding gzip",
        "set-cookie foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ],
];

/// RFC 7541, C.5 and C.6: in a table of 256 bytes, so that entries are evicted.
#[test]
fn responses_of_the_rfc_with_eviction() {
    let plain = [
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        "4803333037c1c0bf",
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
    ];
    let coded = [
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ];
    for blocks in [plain, coded] {
        let blocks: Vec<_> = blocks.into_iter().zip(RESPONSES).collect();
        let mut decoder = check_examples(Some(256), &blocks);
        // Three entries are left.
        assert!(decode(&mut decoder, &hex("c0")).is_ok());
        assert_eq!(decode(&mut decoder, &hex("c1")), Err(Error::Index));
    }
    // The same table by an instruction of the encoder, and what a span can need of it.
    let mut decoder = Decoder::new();
    assert_eq!(decode(&mut decoder, &hex("3fe101")), Ok(vec![]));
    for (block, status) in coded.into_iter().zip(["302", "307", "200"]) {
        let fields = decode(&mut decoder, &hex(block)).unwrap();
        assert_eq!(fields[0], format!("Status {status}"));
        assert!(fields[1..].iter().all(|field| field == "Other -"));
    }
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
