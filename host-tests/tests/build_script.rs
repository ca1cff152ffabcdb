//! Whether the library is built with the kernels for Arm's DSP extension, from the target and the flags of rustc.

#[allow(dead_code)]
#[path = "../../build.rs"]
mod build_script;

use build_script::has_dsp;

/// Flags as cargo hands them to a build script.
fn encoded(flags: &str) -> String {
    flags.split(' ').collect::<Vec<_>>().join("\u{1f}")
}

#[test]
fn the_last_mention_of_dsp_wins_as_in_rustc() {
    // Each line is what `rustc --print cfg` says of `target_feature="dsp"`.
    let (m4, m33) = ("thumbv7em-none-eabihf", "thumbv8m.main-none-eabihf");
    let cases = [
        (m4, "", true),
        (m4, "-C target-feature=-dsp", false),
        (m4, "-C target-cpu=cortex-m4 -C target-feature=-dsp", false),
        (m4, "-C target-feature=-dsp,+dsp", true),
        (m4, "-C target-cpu=cortex-m7", true),
        (m4, "-C target-cpu=generic", true),
        (m4, "-C target-cpu=cortex-m3", false),
        (m33, "", false),
        (m33, "-C target-cpu=cortex-m33", true),
        (m33, "-Ctarget-cpu=cortex-m33", true),
        (m33, "--codegen=target-cpu=cortex-m33", true),
        (m33, "--codegen target-cpu=cortex-m33", true),
        (m33, "-C target-cpu=cortex-m85", true),
        (
            m33,
            "-C target-cpu=cortex-m33 -C target-feature=-dsp",
            false,
        ),
        (
            m33,
            "-C target-feature=-dsp -C target-cpu=cortex-m33",
            false,
        ),
        (m33, "-C target-cpu=cortex-m33 -C target-cpu=generic", false),
        (m33, "-C target-feature=+dsp", true),
        (m33, "-C target-feature=+dsp -C target-feature=+fp64", true),
        (
            m33,
            "-C target-feature=+dsp -C target-feature=-fp64,-dsp",
            false,
        ),
        (m33, "-C target-feature=-dsp -C target-feature=+dsp", true),
        (m33, "-C link-arg=-Ttarget-cpu=cortex-m33", false),
        ("thumbv7m-none-eabi", "-C target-feature=+dsp", false),
        ("x86_64-unknown-linux-gnu", "", false),
    ];
    for (target, flags, expected) in cases {
        assert_eq!(
            has_dsp(target, &encoded(flags)),
            expected,
            "{target} {flags}"
        );
    }
}
