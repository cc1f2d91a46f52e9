#![no_main]

libfuzzer_sys::fuzz_target!(
    init: wirespan_fuzz::start("proc"),
    |data: &[u8]| wirespan_fuzz::run(data)
);
