//! The DSP extension of Arm's M-profile: two products in one instruction.
//!
//! Its functions are those of `portable`, with the same results.
//!
//! # Safety
//!
//! The only file of the crate with unsafe code. Two kinds of it:
//!
//! - Instructions. They read and write registers alone. `build.rs` sets the cfg of this file for targets that have them: a processor
//!   without them runs nothing of those targets.
//! - Reads through pointers, where a check for each word would cost more than the products. Each function first compares the lengths of its
//!   slices with what it is going to read, and returns without doing anything if one is too short. Words are read at any address, but by LDRD and STRD,
//!   whose places start at a whole word by their type.

use core::arch::asm;
use core::array::from_fn;

use super::Requantize;
use super::convolution::{NARROW_WORDS, Places, Weights};

/// `accumulator + round(a · b / 2^32)`, halves up.
#[inline(always)]
pub(super) fn multiply_high_add(a: i32, b: i32, accumulator: i32) -> i32 {
    let result;
    // SAFETY: it reads and writes these registers alone.
    unsafe {
        asm!("smmlar {}, {}, {}, {}", out(reg) result, in(reg) a, in(reg) b, in(reg) accumulator,
            options(pure, nomem, nostack, preserves_flags));
    }
    result
}

/// `accumulator` and the products of the lower and of the upper halves.
#[inline(always)]
fn multiply_pairs(a: u32, b: u32, accumulator: i32) -> i32 {
    let result;
    // SAFETY: it reads and writes these registers, and the flag Q, which is not said to be preserved.
    unsafe {
        asm!("smlad {}, {}, {}, {}", out(reg) result, in(reg) a, in(reg) b, in(reg) accumulator,
            options(pure, nomem, nostack));
    }
    result
}

/// Bytes 0 and 2, widened.
#[inline(always)]
fn even_bytes(word: u32) -> u32 {
    let result;
    // SAFETY: it reads and writes these registers alone.
    unsafe {
        asm!("sxtb16 {}, {}", out(reg) result, in(reg) word,
            options(pure, nomem, nostack, preserves_flags));
    }
    result
}

/// Bytes 1 and 3, widened.
#[inline(always)]
fn odd_bytes(word: u32) -> u32 {
    let result;
    // SAFETY: it reads and writes these registers alone.
    unsafe {
        asm!("sxtb16 {}, {}, ror #8", out(reg) result, in(reg) word,
            options(pure, nomem, nostack, preserves_flags));
    }
    result
}

/// The larger one of each of four bytes.
#[inline(always)]
fn maxima(a: u32, b: u32) -> u32 {
    let result;
    // SAFETY: it reads and writes these registers, and the flags GE, which nothing reads but SEL here.
    unsafe {
        asm!("ssub8 {0}, {1}, {2}", "sel {0}, {1}, {2}",
            out(reg) result, in(reg) a, in(reg) b, options(pure, nomem, nostack));
    }
    result
}

/// `N` words from there on.
///
/// # Safety
///
/// They may be read.
#[inline(always)]
unsafe fn words<const N: usize>(at: *const u32) -> [u32; N] {
    // SAFETY: as the caller promises.
    unsafe { at.cast::<[u32; N]>().read_unaligned() }
}

/// Adds the products of the windows of two neighbours with the weights of `F` filters, packed as [`super::packed_place`] says.
#[inline(always)]
pub(super) fn dot<const F: usize>(
    sums: &mut [[i32; F]; 2],
    places: Places,
    values: &[u32],
    weights: Weights,
) {
    let values = bytemuck::must_cast_slice::<u32, i16>(values);
    let weights = weights.get();
    if values.len() < places.reach() || weights.len() < F * places.terms() {
        return;
    }
    let first = values.as_ptr();
    if F == 2 && places.aligned && places.runs == 1 && places.run > 0 {
        let mut own = sums.map(|sums| from_fn(|f| sums[f]));
        // SAFETY: the reach of two pixels and the weights of two filters may be read. The values start at a whole word, and so do the weights,
        // since a filter has a multiple of 4; `pixel`, `run` and `row_step` are multiples of 4 too, as `aligned` says.
        unsafe {
            squares_of_window(&mut own, places, first, weights.as_ptr());
        }
        *sums = own.map(|sums| from_fn(|f| sums[f]));
        return;
    }
    let mut own = *sums;
    let mut weights = weights.as_ptr();
    for row in 0..places.rows {
        for run in 0..places.runs {
            let start = first.wrapping_add(row * places.row_step + run * places.run_step);
            let mut pointers = Pointers {
                pixels: [start, start.wrapping_add(places.pixel)],
                weights,
            };
            // SAFETY: a run of each pixel lies within the reach, F of it within the weights.
            unsafe {
                groups(&mut own, &mut pointers, places.run / 4);
                tail(&mut own, &mut pointers, places.run % 4);
            }
            weights = pointers.weights;
        }
    }
    *sums = own;
}

/// The places of two pixels and of weights, from where on they are read.
struct Pointers {
    pixels: [*const i16; 2],
    weights: *const i8,
}

/// 16 products: of four values of two pixels with four weights of two filters.
///
/// The compiler would unroll such a loop, and keep in memory what does not fit the registers. Here they are all in use, and the end of the
/// loop is on the stack.
macro_rules! square {
    ($load_weights:literal, $load_first:literal, $load_second:literal) => {
        concat!(
            $load_weights,
            "\nsxtb16 {ta}, {wa}",
            "\nsxtb16 {wa}, {wa}, ror #8",
            "\nsxtb16 {tb}, {wb}",
            "\nsxtb16 {wb}, {wb}, ror #8\n",
            $load_first,
            "\nsmlad {s00}, {xa}, {ta}, {s00}",
            "\nsmlad {s01}, {xa}, {tb}, {s01}",
            "\nsmlad {s00}, {xb}, {wa}, {s00}",
            "\nsmlad {s01}, {xb}, {wb}, {s01}\n",
            $load_second,
            "\nsmlad {s10}, {xa}, {ta}, {s10}",
            "\nsmlad {s11}, {xa}, {tb}, {s11}",
            "\nldr {xa}, [sp]",
            "\nsmlad {s10}, {xb}, {wa}, {s10}",
            "\nsmlad {s11}, {xb}, {wb}, {s11}",
            "\ncmp {w}, {xa}",
        )
    };
}

/// Adds the products of the windows of two neighbours, whose rows are runs of a multiple of 4 values, with two filters.
///
/// # Safety
///
/// The reach of the windows and the weights may be read; everything starts at multiples of 4 bytes. A run has values.
#[inline(always)]
unsafe fn squares_of_window(
    sums: &mut [[i32; 2]; 2],
    places: Places,
    values: *const i16,
    weights: *const i8,
) {
    let [[s00, s01], [s10, s11]] = sums;
    // SAFETY: reads what the caller promises, and uses 16 bytes of the stack.
    unsafe {
        asm!(
            "sub sp, #16",
            "str {run}, [sp, #4]",
            "str {step}, [sp, #8]",
            "str {end}, [sp, #12]",
            "3:",
            "ldr {xa}, [sp, #4]",
            "add {xa}, {w}",
            "str {xa}, [sp]",
            "2:",
            square!("ldrd {wa}, {wb}, [{w}], #8", "ldrd {xa}, {xb}, [{x0}], #8", "ldrd {xa}, {xb}, [{x1}], #8"),
            "bne 2b",
            // To the next row.
            "ldrd {xa}, {xb}, [sp, #8]",
            "add {x0}, {xa}",
            "add {x1}, {xa}",
            "cmp {w}, {xb}",
            "bne 3b",
            "add sp, #16",
            s00 = inout(reg) *s00,
            s01 = inout(reg) *s01,
            s10 = inout(reg) *s10,
            s11 = inout(reg) *s11,
            x0 = inout(reg) values => _,
            x1 = inout(reg) values.wrapping_add(places.pixel) => _,
            w = inout(reg) weights => _,
            // Read before anything is written: they may have the registers of those below.
            run = in(reg) 2 * places.run,
            step = in(reg) size_of::<i16>() * (places.row_step - places.run),
            end = in(reg) weights.wrapping_add(2 * places.terms()),
            wa = lateout(reg) _,
            wb = lateout(reg) _,
            ta = lateout(reg) _,
            tb = lateout(reg) _,
            xa = lateout(reg) _,
            xb = lateout(reg) _,
        );
    }
}

/// Adds `count` times the products of four values of two pixels and four weights of `F` filters, and moves the pointers on.
///
/// # Safety
///
/// They may be read.
#[inline(always)]
unsafe fn groups<const F: usize>(sums: &mut [[i32; F]; 2], pointers: &mut Pointers, count: usize) {
    if F == 2 && count > 0 {
        let mut own: [[i32; 2]; 2] = sums.map(|sums| from_fn(|f| sums[f]));
        let [[s00, s01], [s10, s11]] = &mut own;
        // SAFETY: reads what the caller promises, and uses 4 bytes of the stack.
        unsafe {
            asm!(
                "push {{{end}}}",
                "2:",
                square!(
                    "ldr {wa}, [{w}], #4\nldr {wb}, [{w}], #4",
                    "ldr {xa}, [{x0}], #4\nldr {xb}, [{x0}], #4",
                    "ldr {xa}, [{x1}], #4\nldr {xb}, [{x1}], #4"
                ),
                "bne 2b",
                "add sp, #4",
                s00 = inout(reg) *s00,
                s01 = inout(reg) *s01,
                s10 = inout(reg) *s10,
                s11 = inout(reg) *s11,
                x0 = inout(reg) pointers.pixels[0],
                x1 = inout(reg) pointers.pixels[1],
                w = inout(reg) pointers.weights,
                // Read before anything is written: it may have the register of one of those below.
                end = in(reg) pointers.weights.wrapping_add(8 * count),
                wa = lateout(reg) _,
                wb = lateout(reg) _,
                ta = lateout(reg) _,
                tb = lateout(reg) _,
                xa = lateout(reg) _,
                xb = lateout(reg) _,
            );
        }
        *sums = own.map(|sums| from_fn(|f| sums[f]));
        return;
    }
    for _ in 0..count {
        // SAFETY: reads what the caller promises.
        unsafe {
            let packed = words::<F>(pointers.weights.cast());
            pointers.weights = pointers.weights.add(4 * F);
            let low = packed.map(even_bytes);
            let high = packed.map(odd_bytes);
            for (sums, pixel) in sums.iter_mut().zip(&mut pointers.pixels) {
                let [first, second] = words::<2>(pixel.cast());
                *pixel = pixel.add(4);
                for f in 0..F {
                    sums[f] = multiply_pairs(first, low[f], sums[f]);
                    sums[f] = multiply_pairs(second, high[f], sums[f]);
                }
            }
        }
    }
}

/// Adds the products of the last `count` values of a run.
///
/// # Safety
///
/// They and their weights may be read.
#[inline(always)]
unsafe fn tail<const F: usize>(sums: &mut [[i32; F]; 2], pointers: &mut Pointers, count: usize) {
    for _ in 0..count {
        // SAFETY: reads what the caller promises.
        unsafe {
            let weights: [i32; F] = from_fn(|f| i32::from(pointers.weights.add(f).read()));
            pointers.weights = pointers.weights.add(F);
            for (sums, pixel) in sums.iter_mut().zip(&mut pointers.pixels) {
                let x = i32::from(pixel.read());
                *pixel = pixel.add(1);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = sum.wrapping_add(x * weight);
                }
            }
        }
    }
}

/// Adds the products of a vector with the weights of `F` outputs, packed as [`super::dense_place`] says.
#[inline(always)]
pub(super) fn dot_bytes<const F: usize>(sums: &mut [i32; F], x: &[i8], weights: &[i8]) {
    if weights.len() < F * x.len() {
        return;
    }
    let (groups, rest) = (x.len() / 4, x.len() % 4);
    let mut own = *sums;
    let mut x = x.as_ptr();
    let mut weights = weights.as_ptr();
    if F == 4 && groups > 0 {
        let mut four: [i32; 4] = from_fn(|f| own[f]);
        // SAFETY: 4 · groups values and 16 · groups weights may be read.
        (x, weights) = unsafe { groups_of_four(&mut four, x, weights, groups) };
        own = from_fn(|f| four[f]);
    } else {
        for _ in 0..groups {
            // SAFETY: of x.len() values and F x.len() weights 4 and 4 F at a time, as often as there are as many.
            unsafe {
                let [values] = words::<1>(x.cast());
                x = x.add(4);
                let packed = words::<F>(weights.cast());
                weights = weights.add(4 * F);
                let (even, odd) = (even_bytes(values), odd_bytes(values));
                for (sum, packed) in own.iter_mut().zip(packed) {
                    *sum = multiply_pairs(even, even_bytes(packed), *sum);
                    *sum = multiply_pairs(odd, odd_bytes(packed), *sum);
                }
            }
        }
    }
    for _ in 0..rest {
        // SAFETY: those that are left.
        unsafe {
            let value = i32::from(x.read());
            x = x.add(1);
            for (f, sum) in own.iter_mut().enumerate() {
                *sum = sum.wrapping_add(value * i32::from(weights.add(f).read()));
            }
            weights = weights.add(F);
        }
    }
    *sums = own;
}

/// Adds the products of `count` times four values with four weights of four outputs; returns where they end.
///
/// A loop of its own for the same reason as [`square`].
///
/// # Safety
///
/// They may be read, and are at least one.
#[inline(always)]
unsafe fn groups_of_four(
    sums: &mut [i32; 4],
    x: *const i8,
    weights: *const i8,
    count: usize,
) -> (*const i8, *const i8) {
    let [s0, s1, s2, s3] = sums;
    let (mut x, mut weights) = (x, weights);
    // SAFETY: reads what the caller promises.
    unsafe {
        asm!(
            "2:",
            "ldr {odd}, [{x}], #4",
            "sxtb16 {even}, {odd}",
            "sxtb16 {odd}, {odd}, ror #8",
            "ldr {wa}, [{w}], #4",
            "ldr {wb}, [{w}], #4",
            "sxtb16 {t}, {wa}",
            "sxtb16 {wa}, {wa}, ror #8",
            "smlad {s0}, {even}, {t}, {s0}",
            "sxtb16 {t}, {wb}",
            "smlad {s0}, {odd}, {wa}, {s0}",
            "sxtb16 {wb}, {wb}, ror #8",
            "smlad {s1}, {even}, {t}, {s1}",
            "ldr {wa}, [{w}], #4",
            "smlad {s1}, {odd}, {wb}, {s1}",
            "ldr {wb}, [{w}], #4",
            "sxtb16 {t}, {wa}",
            "sxtb16 {wa}, {wa}, ror #8",
            "smlad {s2}, {even}, {t}, {s2}",
            "sxtb16 {t}, {wb}",
            "smlad {s2}, {odd}, {wa}, {s2}",
            "sxtb16 {wb}, {wb}, ror #8",
            "smlad {s3}, {even}, {t}, {s3}",
            "cmp {x}, {end}",
            "smlad {s3}, {odd}, {wb}, {s3}",
            "bne 2b",
            s0 = inout(reg) *s0,
            s1 = inout(reg) *s1,
            s2 = inout(reg) *s2,
            s3 = inout(reg) *s3,
            x = inout(reg) x,
            w = inout(reg) weights,
            end = in(reg) x.wrapping_add(4 * count),
            even = out(reg) _,
            odd = out(reg) _,
            wa = out(reg) _,
            wb = out(reg) _,
            t = out(reg) _,
            options(readonly, nostack),
        );
    }
    (x, weights)
}

/// A row of a narrow convolution: of each pixel three rows of four values, the same for each filter. `filters` have the bias, the
/// multiplier and three rows of four weights each.
pub(super) fn narrow_row(
    places: Places,
    values: &[i16],
    filters: &[[u32; 2 + NARROW_WORDS]],
    requantize: Requantize,
    y: &mut [i8],
) {
    let pixels = y.len() / filters.len().max(1);
    if pixels == 0 || filters.is_empty() || values.len() < places.narrow_reach(pixels) {
        return;
    }
    let steps = places.narrow_rows();
    let end = filters.as_ptr_range().end;
    let mut at = values.as_ptr();
    let mut y = y.as_mut_ptr();
    for _ in 0..pixels {
        // SAFETY: four values of three rows lie within the reach; as many outputs as filters are written, and in all no more than there are.
        // Eight bytes of the stack are used.
        unsafe {
            let [[v0, v1], [v2, v3], [v4, v5]] = steps.map(|step| words::<2>(at.add(step).cast()));
            asm!(
                "push {{{exponent}}}",
                "push {{{end}}}",
                "2:",
                "ldrd {s}, {m}, [{w}], #8",
                "ldrd {wa}, {wb}, [{w}], #8",
                "smlad {s}, {v0}, {wa}, {s}",
                "smlad {s}, {v1}, {wb}, {s}",
                "ldrd {wa}, {wb}, [{w}], #8",
                "smlad {s}, {v2}, {wa}, {s}",
                "smlad {s}, {v3}, {wb}, {s}",
                "ldrd {wa}, {wb}, [{w}], #8",
                "smlad {s}, {v4}, {wa}, {s}",
                "smlad {s}, {v5}, {wb}, {s}",
                "ldrd {wa}, {wb}, [sp]",
                "lsl {s}, {s}, {wb}",
                "smmlar {s}, {s}, {m}, {zero}",
                "ssat {s}, #8, {s}",
                "strb {s}, [{y}], #1",
                "cmp {w}, {wa}",
                "bne 2b",
                "add sp, #8",
                v0 = inout(reg) v0 => _,
                v1 = inout(reg) v1 => _,
                v2 = inout(reg) v2 => _,
                v3 = inout(reg) v3 => _,
                v4 = inout(reg) v4 => _,
                v5 = inout(reg) v5 => _,
                w = inout(reg) filters.as_ptr() => _,
                y = inout(reg) y,
                zero = inout(reg) requantize.zero_point => _,
                // Read before anything is written: they may have the registers of those below.
                exponent = in(reg) requantize.exponent,
                end = in(reg) end,
                s = lateout(reg) _,
                m = lateout(reg) _,
                wa = lateout(reg) _,
                wb = lateout(reg) _,
            );
        }
        at = at.wrapping_add(places.pixel);
    }
}

/// Moves the words from `start` on to the start; `start` and the length are even.
///
/// A loop of its own, as is [`copy`], because the compiler makes a call of other ones, to 2 kB of code for every alignment.
pub(super) fn move_to_start(words: &mut [u32], start: usize) {
    let len = words.len();
    if start >= len || !start.is_multiple_of(2) || !len.is_multiple_of(2) {
        return;
    }
    let to = words.as_mut_ptr();
    // SAFETY: at least 8 bytes from `start` to the end are read, as many from the first one on written, upwards, and nothing else.
    unsafe {
        asm!(
            "2:",
            "ldrd {a}, {b}, [{from}], #8",
            "strd {a}, {b}, [{to}], #8",
            "cmp {from}, {end}",
            "bne 2b",
            from = inout(reg) to.wrapping_add(start) => _,
            to = inout(reg) to => _,
            end = in(reg) to.wrapping_add(len),
            a = out(reg) _,
            b = out(reg) _,
            options(nostack),
        );
    }
}

/// `y = x`, of the same length.
pub(crate) fn copy(x: &[i8], y: &mut [i8]) {
    if x.len() != y.len() || x.is_empty() {
        return;
    }
    // SAFETY: as many bytes as both have are read and written.
    unsafe {
        asm!(
            "2:",
            "ldrb {byte}, [{x}], #1",
            "strb {byte}, [{y}], #1",
            "cmp {x}, {end}",
            "bne 2b",
            x = inout(reg) x.as_ptr() => _,
            y = inout(reg) y.as_mut_ptr() => _,
            end = in(reg) x.as_ptr_range().end,
            byte = out(reg) _,
            options(nostack),
        );
    }
}

pub(super) fn widen(x: &[i8], y: &mut [i16]) {
    if x.len() != y.len() {
        return;
    }
    let (values, rest) = x.as_chunks::<4>();
    let (targets, targets_left) = y.as_chunks_mut::<4>();
    for (y, x) in targets.iter_mut().zip(values) {
        let word = u32::from_ne_bytes(x.map(|x| x as u8));
        let (even, odd) = (even_bytes(word), odd_bytes(word));
        let low = even & 0xffff | odd << 16;
        let high = even >> 16 | odd & 0xffff_0000;
        // SAFETY: two words are four values of 16 bits, written at any address.
        unsafe {
            y.as_mut_ptr()
                .cast::<[u32; 2]>()
                .write_unaligned([low, high]);
        }
    }
    for (y, x) in targets_left.iter_mut().zip(rest) {
        *y = i16::from(*x);
    }
}

/// The largest of 2x2 neighbours, for two rows of pixels of a multiple of 4 channels. False if it was not done.
#[inline(always)]
pub(super) fn maxima_of_squares(rows: [&[i8]; 2], channels: usize, y: &mut [i8]) -> bool {
    let pixels = y.len() / channels.max(1);
    if rows.iter().any(|row| row.len() < 2 * pixels * channels) || channels == 0 {
        return false;
    }
    let [mut first, mut second] = rows.map(|row| row.as_ptr());
    let mut y = y.as_mut_ptr();
    for _ in 0..pixels {
        for _ in 0..channels / 4 {
            // SAFETY: in all 2 · pixels · channels bytes of each row, and pixels · channels of the output.
            unsafe {
                let [a] = words::<1>(first.cast());
                let [b] = words::<1>(first.add(channels).cast());
                let [c] = words::<1>(second.cast());
                let [d] = words::<1>(second.add(channels).cast());
                let largest = maxima(maxima(a, b), maxima(c, d));
                y.cast::<u32>().write_unaligned(largest);
                first = first.add(4);
                second = second.add(4);
                y = y.add(4);
            }
        }
        // SAFETY: past the second of each pair of pixels; at the last pair, one past the row's end.
        unsafe {
            first = first.add(channels);
            second = second.add(channels);
        }
    }
    true
}
