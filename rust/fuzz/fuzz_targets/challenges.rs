//! libFuzzer's way into `zk_fuzz::challenges`.

#![no_main]

#[global_allocator]
static METER: zk_fuzz::meter::Meter = zk_fuzz::meter::Meter;

libfuzzer_sys::fuzz_target!(|data: &[u8]| zk_fuzz::challenges::run(data));
