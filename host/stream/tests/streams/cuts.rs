//! The same streams wherever the bytes were cut, and whatever came twice or in another order.

use super::*;

/// Pieces of both streams: cut anywhere, overlapping backwards now and then.
fn pieces(random: &mut Random, streams: [&[u8]; 2]) -> Vec<(Direction, usize, usize)> {
    let mut pieces = Vec::new();
    for (direction, stream) in Direction::BOTH.into_iter().zip(streams) {
        let mut position = 0;
        while position < stream.len() {
            let end = (position + 1 + random.below(40)).min(stream.len());
            let start = if random.below(4) == 0 {
                position.saturating_sub(random.below(30))
            } else {
                position
            };
            pieces.push((direction, start, end));
            if random.below(5) == 0 {
                pieces.push((direction, start, end));
            }
            position = end;
        }
    }
    for n in (1..pieces.len()).rev() {
        let near = n.saturating_sub(random.below(8));
        pieces.swap(n, near);
    }
    pieces
}

#[test]
fn any_cut_reordering_and_duplication_gives_the_same_streams() {
    for packets in [false, true] {
        for seed in 1..400 {
            let mut random = Random(seed);
            let streams = [text(random.below(900)), text(random.below(900))];
            let mut table = Table::default();
            table.push(open());
            let mut time = 0;
            for (direction, start, end) in pieces(&mut random, [&streams[0], &streams[1]]) {
                time += 1 + random.below(1000) as u64;
                if packets && start > 0 && random.below(3) == 0 {
                    // Acknowledged before the capture shows it.
                    table.push(confirmed(direction, end as u64, time));
                }
                table.push(data(
                    direction,
                    start as u64,
                    &streams[direction.index()][start..end],
                    time,
                ));
                table.tick(time.saturating_sub(100_000));
            }
            let positions = [Some(streams[0].len() as u64), Some(streams[1].len() as u64)];
            table.push(close(time, positions)).finish(time);
            for direction in Direction::BOTH {
                let expected = String::from_utf8(streams[direction.index()].clone()).unwrap();
                assert_eq!(
                    table.stream(direction),
                    expected,
                    "seed {seed} packets {packets}"
                );
            }
            assert_eq!(table.connections.counters().gaps.total(), 0);
        }
    }
}

#[test]
fn dropped_pieces_are_gaps_of_exactly_what_is_missing() {
    for packets in [false, true] {
        for seed in 1..400 {
            let mut random = Random(seed);
            let stream = text(50 + random.below(900));
            let mut there = vec![false; stream.len()];
            let mut table = Table::default();
            table.push(open());
            let mut time = 0;
            for (_, start, end) in pieces(&mut random, [&stream, &[]]) {
                time += 1;
                if random.below(4) > 0 {
                    there[start..end].fill(true);
                    table.push(data(
                        Direction::Sent,
                        start as u64,
                        &stream[start..end],
                        time,
                    ));
                }
            }
            if packets {
                table.push(confirmed(Direction::Sent, stream.len() as u64, time));
                table.tick(time + 1000 * MILLISECOND);
            } else {
                table.tick(time + 20 * MILLISECOND);
            }
            table.push(close(time, [Some(stream.len() as u64), Some(0)]));
            table.tick(time + 20 * MILLISECOND);
            let cause = if packets {
                GapCause::Packet
            } else {
                GapCause::Unknown
            };
            let mut expected = String::new();
            for run in there
                .iter()
                .zip(&stream)
                .collect::<Vec<_>>()
                .chunk_by(|a, b| a.0 == b.0)
            {
                if *run[0].0 {
                    expected.extend(run.iter().map(|(_, byte)| char::from(**byte)));
                } else {
                    expected.push_str(&format!("[{} {cause:?}]", run.len()));
                }
            }
            // Gaps that touch may come in parts.
            assert_eq!(
                merged(&table.stream(Direction::Sent)),
                expected,
                "seed {seed} packets {packets}"
            );
        }
    }
}

/// `[2 X][3 X]` as `[5 X]`.
fn merged(text: &str) -> String {
    let mut merged = text.to_owned();
    while let Some(middle) = merged.find("][") {
        let left = merged[..middle].rfind('[').unwrap();
        let right = middle + merged[middle..].find("]").unwrap() + 1;
        let end = right + merged[right..].find(']').unwrap() + 1;
        let number = |part: &str| {
            part.trim_matches(['[', ']'])
                .split(' ')
                .next()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        let sum = number(&merged[left..=middle]) + number(&merged[right..end]);
        let cause = merged[left..middle].split(' ').nth(1).unwrap().to_owned();
        merged.replace_range(left..end, &format!("[{sum} {cause}]"));
    }
    merged
}
