//! Says whether the target has Arm's DSP extension: stable Rust has no `target_feature` for it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(lightlayers_dsp)");
    let target = std::env::var("TARGET").unwrap_or_default();
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    // Every Cortex-M4 and M7 has it. Of Cortex-M33 it is an option: the compiler must be told that it is there.
    let is_told = target.starts_with("thumbv8m.main-")
        && (flags.contains("target-cpu=cortex-m33") || flags.contains("+dsp"));
    if target.starts_with("thumbv7em-") || is_told {
        println!("cargo::rustc-cfg=lightlayers_dsp");
    }
}
