//! Scans a program for each session of the library for panics, at three optimization levels.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::error::Error;
use std::fs;
use std::path::Path;

use object::elf::FileHeader32;
use object::read::elf::ElfFile;
use object::{Endianness, Object, ObjectSection, ObjectSymbol, RelocationTarget};

use crate::embedded::{self, TARGET};
use crate::image::{is_panic, readable};

type Elf<'a> = ElfFile<'a, FileHeader32<Endianness>>;

/// The profiles of `sessions/`.
const LEVELS: [&str; 3] = ["z", "s", "3"];

/// The program that panics, to see that the scan sees.
const CONTROL: &str = "control";

/// A smaller program does not have the session that it is named for: the compiler has left it out.
const LEAST_CODE: u64 = 500;

/// Where one program panics.
#[derive(Debug, Default, PartialEq)]
struct Panics {
    /// Ways from a function to the panic machinery that it calls.
    calls: BTreeSet<String>,
    /// Lines of source code that panics name.
    lines: BTreeSet<String>,
    /// Bytes of code.
    code: u64,
}

/// Builds the programs, or those that are named, and prints what panics they link; false if any does.
pub fn scan(named: &[String]) -> Result<bool, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sessions");
    let mut programs = Vec::new();
    for file in fs::read_dir(folder.join("src/bin"))? {
        let path = file?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        programs.push(name.ok_or("a program without a name")?.to_owned());
    }
    programs.sort();
    if let Some(unknown) = named.iter().find(|name| !programs.contains(name)) {
        return Err(format!(
            "there is no program {unknown}, only: {}",
            programs.join(", ")
        )
        .into());
    }
    programs.retain(|name| named.is_empty() || named.contains(name) || name == CONTROL);

    let mut linked = 0;
    for level in LEVELS {
        let output = build(&folder, level, &programs)?;
        for program in &programs {
            let panics = Panics::read(&fs::read(output.join(program))?)
                .map_err(|error| format!("{program} at opt-level {level}: {error}"))?;
            if program == CONTROL {
                if panics.calls.is_empty() || panics.lines.is_empty() {
                    return Err(format!(
                        "opt-level {level}: expected a panic in {CONTROL}, found none: the scan is blind"
                    )
                    .into());
                }
                continue;
            }
            if panics.code < LEAST_CODE {
                return Err(format!(
                    "{program} at opt-level {level}: expected at least {LEAST_CODE} B of code, found {} B: the session is not in it",
                    panics.code
                )
                .into());
            }
            if panics.calls.is_empty() && panics.lines.is_empty() {
                continue;
            }
            linked += 1;
            eprintln!("error: {program}, opt-level {level}: panics are linked");
            for way in &panics.calls {
                eprintln!("    {way}");
            }
            for line in &panics.lines {
                eprintln!("    from {line}");
            }
        }
    }
    println!(
        "{} programs, one for each session, at opt-level {}: {linked} of {} link panics",
        programs.len() - 1,
        LEVELS.join(", "),
        (programs.len() - 1) * LEVELS.len()
    );
    Ok(linked == 0)
}

/// Builds programs; returns the folder in which they are.
fn build(
    folder: &Path,
    level: &str,
    programs: &[String],
) -> Result<std::path::PathBuf, Box<dyn Error>> {
    let profile = format!("opt-{level}");
    let output = embedded::output_folder("size-sessions");
    // Relocations stay in the program, to tell which function calls which.
    let script = folder.join("../firmware/link.x");
    let flags = format!(
        "target.{TARGET}.rustflags = ['-Clink-arg=-T{}', '-Clink-arg=--emit-relocs']",
        script.display()
    );
    let mut cargo = embedded::cargo();
    cargo
        .args(["build", "--quiet", "--target", TARGET])
        .args(["--profile", &profile, "--config", &flags])
        .arg("--manifest-path")
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&output);
    for program in programs {
        cargo.args(["--bin", program]);
    }
    let status = cargo
        .status()
        .map_err(|error| format!("cannot run {cargo:?}: {error}"))?;
    if !status.success() {
        return Err(format!(
            "the programs do not build; if it is {TARGET} that is missing: EMBEDDED_CARGO=$(bash .ci/targets)"
        )
        .into());
    }
    Ok(output.join(TARGET).join(profile))
}

impl Panics {
    fn read(executable: &[u8]) -> Result<Self, Box<dyn Error>> {
        let elf = Elf::parse(executable)?;
        let text = elf.section_by_name(".text").ok_or("there is no .text")?;
        Ok(Self {
            calls: calls(&elf, &text)?,
            lines: lines(&elf)?,
            code: text.size(),
        })
    }
}

/// Every way to the panic machinery, from the function that is not of the compiler's libraries.
fn calls<'a>(
    elf: &Elf<'a>,
    text: &impl ObjectSection<'a>,
) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let mut functions = BTreeMap::new();
    for symbol in elf.symbols() {
        if symbol.is_definition() && symbol.size() > 0 {
            // In a symbol, the lowest bit says that a function is Thumb code.
            functions.insert(symbol.address() & !1, readable(symbol.name()?));
        }
    }
    let mut callers = BTreeMap::<_, BTreeSet<_>>::new();
    for (address, relocation) in text.relocations() {
        if let RelocationTarget::Symbol(target) = relocation.target()
            && let Some((_, caller)) = functions.range(..=address).next_back()
        {
            let callee = readable(elf.symbol_by_index(target)?.name()?);
            callers.entry(callee).or_default().insert(caller);
        }
    }
    let mut ways = BTreeSet::new();
    for panic in functions.values().filter(|name| is_panic(name)) {
        // Through the compiler's libraries, the shortest way to each function that is not of them.
        let mut seen = BTreeSet::new();
        let mut open = VecDeque::from([(panic, panic.clone())]);
        while let Some((function, way)) = open.pop_front() {
            for caller in callers.get(function).into_iter().flatten().copied() {
                if is_panic(caller) || !seen.insert(caller) {
                    continue;
                }
                let way = format!("{caller} → {way}");
                let is_library = ["core::", "<core::", "OUTLINED_FUNCTION"];
                if is_library.iter().any(|start| caller.starts_with(start)) {
                    open.push_back((caller, way));
                } else {
                    ways.insert(way);
                }
            }
        }
    }
    Ok(ways)
}

/// Every `core::panic::Location` in the constants: the address and the length of a file's name, a line, a column.
fn lines(elf: &Elf) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let mut lines = BTreeSet::new();
    let Some(section) = elf.section_by_name(".rodata") else {
        return Ok(lines);
    };
    let data = section.data()?;
    let words: Vec<_> = data
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    for window in words.windows(4) {
        let &[address, len, line, column] = window else {
            continue;
        };
        let start = u64::from(address).checked_sub(section.address());
        let name = start.and_then(|start| data.get(start as usize..)?.get(..len as usize));
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        if let Some(name) = name.filter(|name| name.ends_with(".rs")) {
            let name = name.rsplit_once("/../").map_or(name, |(_, name)| name);
            lines.insert(format!("{name}:{line}:{column}"));
        }
    }
    Ok(lines)
}
