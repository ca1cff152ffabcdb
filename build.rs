//! Says whether the target has Arm's DSP extension, for which stable Rust has no `target_feature`, and
//! whether the compiler optimizes for size alone.

fn main() {
    // Of nothing else: the script itself is compiled again where it changes.
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    println!("cargo::rustc-check-cfg=cfg(lightlayers_dsp)");
    let target = std::env::var("TARGET").unwrap_or_default();
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if has_dsp(&target, &flags) {
        println!("cargo::rustc-cfg=lightlayers_dsp");
    }
    println!("cargo::rustc-check-cfg=cfg(lightlayers_smallest)");
    if std::env::var("OPT_LEVEL").is_ok_and(|level| level == "z") {
        println!("cargo::rustc-cfg=lightlayers_smallest");
    }
}

/// The processors with the extension.
const CPUS: [&str; 8] = [
    "cortex-m4",
    "cortex-m7",
    "cortex-m33",
    "cortex-m35p",
    "cortex-m52",
    "cortex-m55",
    "cortex-m85",
    "star-mc1",
];

/// Whether rustc has the extension's instructions, for a target and flags with a U+001F between two of them.
///
/// As in rustc, the last `target-cpu` counts, and the last `+dsp` or `-dsp` outweighs it, wherever it stands.
pub fn has_dsp(target: &str, flags: &str) -> bool {
    // Every Cortex-M4 and M7 has it. Of thumbv8m.main it is an option: the compiler must be told that it is there.
    let of_target = target.starts_with("thumbv7em-");
    if !of_target && !target.starts_with("thumbv8m.main-") {
        return false;
    }
    let (mut of_cpu, mut of_features) = (of_target, None);
    for flag in flags.split('\u{1f}') {
        // The option of -C or --codegen stands in the same argument or in the next one.
        let mut codegen = ["--codegen=", "-C"].into_iter();
        let option = codegen.find_map(|codegen| flag.strip_prefix(codegen));
        let option = option.unwrap_or(flag);
        if let Some(cpu) = option.strip_prefix("target-cpu=") {
            of_cpu = CPUS.contains(&cpu) || of_target && cpu == "generic";
        } else if let Some(features) = option.strip_prefix("target-feature=") {
            let mut from_the_last = features.split(',').rev();
            let mention = from_the_last.find_map(|feature| match feature {
                "+dsp" => Some(true),
                "-dsp" => Some(false),
                _ => None,
            });
            of_features = mention.or(of_features);
        }
    }
    of_features.unwrap_or(of_cpu)
}
