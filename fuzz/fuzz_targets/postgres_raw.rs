#![no_main]

libfuzzer_sys::fuzz_target!(
    init: wirespan_fuzz::start("postgres_raw"),
    |data: &[u8]| wirespan_fuzz::run(data)
);
