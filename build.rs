//! Says whether the target has Arm's DSP extension: stable Rust has no `target_feature` for it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(lightlayers_dsp)");
    let target = std::env::var("TARGET").unwrap_or_default();
    // Every Cortex-M4 and M7 has it. Of Cortex-M33 it is an option that no known chip with a float unit left out.
    if target.starts_with("thumbv7em-") || target == "thumbv8m.main-none-eabihf" {
        println!("cargo::rustc-cfg=lightlayers_dsp");
    }
}
