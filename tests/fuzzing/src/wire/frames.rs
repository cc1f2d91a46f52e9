//! Compressed frames of MySQL, against the decompressors of others.

use std::io::Read;

use wirespan_parser_mysql::wire_readers::{Decoder, Outcome};

use super::{cut, cuts};

/// Bytes asked for at a time.
const PIECE: usize = 4 << 10;

/// Bytes that a frame may become before nothing more is asked of it: a packet of 16 MiB is longer,
/// and shows nothing new.
const OUTPUT: usize = 1 << 20;

/// Calls without anything new that are a hang.
const CALLS: usize = 100_000;

/// The bytes of one frame, compressed with either or neither, in pieces as in one.
pub(crate) fn run(input: &[u8]) {
    let (places, bytes) = cuts(input);
    let (whole, sound) = decode(&[bytes]);
    let (pieces, pieces_sound) = decode(&cut(bytes, &places));
    if sound {
        assert_eq!(pieces, whole, "a frame cut at {places:?}");
        assert!(pieces_sound, "a frame that is broken only in pieces");
    }
    // What is made of a broken frame is the beginning of what others make of it, or the same.
    let others = if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        zstd::stream::Decoder::new(bytes).map(|decoder| first(decoder.single_frame()))
    } else {
        Ok(first(flate2::read::ZlibDecoder::new(bytes)))
    };
    if let Ok((expected, true)) = others
        && sound
    {
        assert_eq!(whole, expected, "others decompress it to something else");
    }
}

/// The output, and whether all of it made sense.
fn decode(pieces: &[&[u8]]) -> (Vec<u8>, bool) {
    let mut decoder = Decoder::Undecided;
    let (mut input, mut output) = (Vec::new(), Vec::new());
    let mut calls = 0;
    for (number, piece) in pieces.iter().enumerate() {
        input.extend_from_slice(piece);
        let last = number + 1 == pieces.len();
        loop {
            calls += 1;
            assert!(calls < CALLS, "it goes on for ever");
            match decoder.decode(&mut input, last, &mut output, PIECE) {
                Outcome::Some if output.len() < OUTPUT => {}
                Outcome::Some => {
                    output.truncate(OUTPUT);
                    return (output, true);
                }
                Outcome::Hungry => break,
                Outcome::Broken => return (output, false),
            }
        }
    }
    (output, true)
}

/// As much as is compared, and whether there was no error in it.
fn first(decoder: impl Read) -> (Vec<u8>, bool) {
    let mut output = Vec::new();
    let read = decoder.take(OUTPUT as u64).read_to_end(&mut output);
    (output, read.is_ok())
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let text = b"\x11\0\0\0\x03select * from t where a = 1 or a = 2 or a = 3".repeat(20);
    let zlib = {
        let mut encoder = flate2::read::ZlibEncoder::new(&text[..], flate2::Compression::default());
        let mut bytes = Vec::new();
        encoder
            .read_to_end(&mut bytes)
            .expect("a text can be compressed");
        bytes
    };
    let zstd = zstd::bulk::compress(&text, 3).expect("a text can be compressed");
    let noise: Vec<u8> = (0..600_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let raw = zstd::bulk::compress(&noise, 1).expect("noise can be compressed");
    [zlib, zstd, raw]
        .iter()
        .flat_map(|bytes| [&[0], &[3, 10, 100, 200][..]].map(|cuts| [cuts, bytes].concat()))
        .collect()
}
