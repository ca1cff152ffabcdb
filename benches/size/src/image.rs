//! What an ELF image and the linker's map say about size and stack.

use std::error::Error;

use object::elf::FileHeader32;
use object::read::elf::ElfFile;
use object::{Endianness, Object, ObjectSection, ObjectSymbol};
use rustc_demangle::demangle;

type Elf<'a> = ElfFile<'a, FileHeader32<Endianness>>;

/// One program, measured.
#[derive(Debug)]
pub struct Image {
    /// Everything, `compiler_builtins` apart.
    size: Size,
    pub largest_frame: Frame,
    /// The functions of the panic machinery that are linked.
    pub panic_functions: Vec<String>,
    /// Every function and constant, the largest first.
    pub pieces: Vec<Piece>,
}

/// Bytes of flash.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Instructions, and initial values of variables.
    pub code: u64,
    /// All read-only data: the network table, and whatever other constants there are.
    pub network_table: u64,
    /// Code and constants of the compiler's run-time library, such as `memcpy`.
    pub compiler_builtins: u64,
}

#[derive(Debug)]
pub struct Frame {
    pub function: String,
    pub bytes: u64,
}

#[derive(Debug)]
pub struct Piece {
    pub section: String,
    pub name: String,
    pub bytes: u64,
}

impl Image {
    /// Reads an executable and the map that `lld` wrote when it linked it.
    pub fn read(executable: &[u8], map: &str) -> Result<Self, Box<dyn Error>> {
        let elf = Elf::parse(executable)?;
        let bytes = |name| {
            elf.section_by_name(name)
                .map_or(0, |section| section.size())
        };
        let (text, rodata, data) = (bytes(".text"), bytes(".rodata"), bytes(".data"));
        let builtins = builtins(map)?;
        Ok(Self {
            size: Size {
                code: text + data - builtins.text - builtins.data,
                network_table: rodata - builtins.rodata,
                compiler_builtins: builtins.text + builtins.rodata + builtins.data,
            },
            largest_frame: largest_frame(&elf)?,
            panic_functions: panic_functions(&elf),
            pieces: pieces(&elf),
        })
    }

    /// What this program costs more than `base`.
    pub fn above(&self, base: &Self) -> Size {
        let (size, base) = (self.size, base.size);
        Size {
            code: size.code.saturating_sub(base.code),
            network_table: size.network_table.saturating_sub(base.network_table),
            compiler_builtins: size
                .compiler_builtins
                .saturating_sub(base.compiler_builtins),
        }
    }
}

#[derive(Debug, Default, PartialEq)]
struct Builtins {
    text: u64,
    rodata: u64,
    data: u64,
}

/// Sums the input sections that came from `compiler_builtins`, by output section.
///
/// A line of the map has address, load address, size in hexadecimal, alignment, and then an output section, or, indented
/// further, an input section as `file:(section)`:
///
/// ```text
///      VMA      LMA     Size Align Out     In      Symbol
///  8000008  8000008      1ce     4 .text
///  80001b4  80001b4       22     2         libcompiler_builtins-bbc9.rlib(compiler_builtins-180.o):(.text.fmaxf)
/// ```
fn builtins(map: &str) -> Result<Builtins, Box<dyn Error>> {
    let mut lines = map.lines();
    let header = lines.next().unwrap_or_default();
    let (Some(output_column), Some(input_column)) = (header.find("Out"), header.find("In")) else {
        return Err("the linker's map is not one of lld".into());
    };
    let mut sums = Builtins::default();
    let mut output = "";
    for line in lines {
        let (Some(numbers), Some(name)) = (line.get(..output_column), line.get(output_column..))
        else {
            continue;
        };
        if !name.starts_with(' ') {
            output = name;
            continue;
        }
        let is_input = line
            .get(input_column..)
            .is_some_and(|rest| !rest.starts_with(' '));
        if !is_input || !name.contains("libcompiler_builtins-") {
            continue;
        }
        let size = numbers.split_whitespace().nth(2).unwrap_or_default();
        let size = u64::from_str_radix(size, 16)
            .map_err(|_| format!("no size in the map's line {line:?}"))?;
        match output {
            ".text" => sums.text += size,
            ".rodata" => sums.rodata += size,
            ".data" => sums.data += size,
            _ => {}
        }
    }
    Ok(sums)
}

/// The largest entry of `.stack_sizes`: for each function its address and then, in ULEB128, its frame in bytes.
///
/// The functions of `compiler_builtins` are compiled beforehand and have no entry.
fn largest_frame(elf: &Elf) -> Result<Frame, Box<dyn Error>> {
    let section = elf
        .section_by_name(".stack_sizes")
        .ok_or("there is no section .stack_sizes")?;
    let mut data = section.data()?;
    let mut largest = None;
    while let Some((address, rest)) = data.split_first_chunk::<4>() {
        let (bytes, rest) = uleb128(rest).ok_or("the last entry of .stack_sizes is cut off")?;
        data = rest;
        if largest.is_none_or(|(_, most)| bytes > most) {
            largest = Some((u32::from_le_bytes(*address), bytes));
        }
    }
    let (address, bytes) = largest.ok_or("there is no entry in .stack_sizes")?;
    // In a symbol, the lowest bit says that a function is Thumb code.
    let function = elf
        .symbols()
        .find(|symbol| {
            symbol.is_definition()
                && symbol.size() > 0
                && symbol.address() & !1 == u64::from(address & !1)
        })
        .and_then(|symbol| symbol.name().ok())
        .map_or_else(|| format!("{address:#x}"), readable);
    Ok(Frame { function, bytes })
}

fn uleb128(mut data: &[u8]) -> Option<(u64, &[u8])> {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (&byte, rest) = data.split_first()?;
        data = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            return Some((value, data));
        }
    }
}

fn panic_functions(elf: &Elf) -> Vec<String> {
    let mut functions: Vec<_> = elf
        .symbols()
        .filter(|symbol| symbol.is_definition())
        .filter_map(|symbol| symbol.name().ok())
        .filter(|name| is_panic(name))
        .map(readable)
        .collect();
    functions.sort();
    functions.dedup();
    functions
}

/// Whether a symbol belongs to the panic machinery.
pub fn is_panic(symbol: &str) -> bool {
    ["panicking", "rust_begin_unwind", "panic_fmt"]
        .iter()
        .any(|part| symbol.contains(part))
}

fn pieces(elf: &Elf) -> Vec<Piece> {
    let mut pieces: Vec<_> = elf
        .symbols()
        .filter(|symbol| symbol.size() > 0)
        .filter_map(|symbol| {
            let section = elf.section_by_index(symbol.section_index()?).ok()?;
            Some(Piece {
                section: section.name().ok()?.to_owned(),
                name: readable(symbol.name().ok()?),
                bytes: symbol.size(),
            })
        })
        .collect();
    pieces.sort_by(|a, b| (&a.section, b.bytes, &a.name).cmp(&(&b.section, a.bytes, &b.name)));
    pieces
}

/// A function's name without the hash.
pub fn readable(symbol: &str) -> String {
    format!("{:#}", demangle(symbol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uleb128_is_seven_bits_a_byte_lowest_first() {
        assert_eq!(uleb128(&[0x08, 0xff]), Some((8, &[0xff][..])));
        // 0xe5 0x8e 0x26: the example of the DWARF standard, 624485.
        assert_eq!(uleb128(&[0xe5, 0x8e, 0x26]), Some((624_485, &[][..])));
        assert_eq!(uleb128(&[0x80]), None);
    }

    #[test]
    fn builtins_are_summed_by_output_section() {
        let map = "     VMA      LMA     Size Align Out     In      Symbol
 8000008  8000008      1ce     4 .text
 8000008  8000008       52     2         /target/infer.o:(.text.Reset)
 8000009  8000009       52     1                 Reset
 80001b4  80001b4       22     2         /lib/libcompiler_builtins-bb.rlib(compiler_builtins-1.o):(.text.fmaxf)
 80001b5  80001b5       22     1                 fmaxf
 80001d6  80001d6       14     2 .rodata
 80001d6  80001d6        8     2         /lib/libcompiler_builtins-bb.rlib(compiler_builtins-2.o):(.rodata.x)
";
        let expected = Builtins {
            text: 0x22,
            rodata: 8,
            data: 0,
        };
        assert_eq!(builtins(map).unwrap(), expected);
        assert!(builtins("Archive member included").is_err());
    }
}
