#![no_main]

libfuzzer_sys::fuzz_target!(
    init: wirespan_fuzz::start("mysql_frames"),
    |data: &[u8]| wirespan_fuzz::run(data)
);
