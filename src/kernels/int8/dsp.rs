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
//!   slices with what it is going to read, and returns without doing anything if one is too short. Words are read at any address, unless
//!   `ALIGNED` says that they lie at whole ones.

use core::arch::asm;

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
    // SAFETY: it reads and writes these registers, and the flag Q, which nothing reads.
    unsafe {
        asm!("smlad {}, {}, {}, {}", out(reg) result, in(reg) a, in(reg) b, in(reg) accumulator,
            options(pure, nomem, nostack, preserves_flags));
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
/// They may be read; if they are `ALIGNED`, at a multiple of 4 bytes.
#[inline(always)]
unsafe fn words<const N: usize, const ALIGNED: bool>(at: *const u32) -> [u32; N] {
    let at = at.cast::<[u32; N]>();
    // SAFETY: as the caller promises.
    unsafe {
        if ALIGNED {
            at.read()
        } else {
            at.read_unaligned()
        }
    }
}

/// Adds the products of `len` values of `P` pixels with the weights of `F` filters, packed as [`super::packed_place`] says.
#[inline(always)]
pub(super) fn dot<const P: usize, const F: usize, const ALIGNED: bool>(
    sums: &mut [[i32; F]; P],
    pixels: [&[i16]; P],
    weights: &[i8],
    len: usize,
) {
    if weights.len() < F * len || pixels.iter().any(|pixel| pixel.len() < len) {
        return;
    }
    let mut own = *sums;
    let mut pixels = pixels.map(|pixel| pixel.as_ptr());
    let mut weights = weights.as_ptr();
    for _ in 0..len / 4 {
        // SAFETY: len / 4 times, 4 values of each pixel and 4 F weights are read, and the pointers move on by as many.
        unsafe {
            let packed = words::<F, ALIGNED>(weights.cast());
            weights = weights.add(4 * F);
            let low = packed.map(even_bytes);
            let high = packed.map(odd_bytes);
            for (own, pixel) in own.iter_mut().zip(&mut pixels) {
                let [first, second] = words::<2, ALIGNED>(pixel.cast());
                *pixel = pixel.add(4);
                for f in 0..F {
                    own[f] = multiply_pairs(first, low[f], own[f]);
                    own[f] = multiply_pairs(second, high[f], own[f]);
                }
            }
        }
    }
    if !ALIGNED {
        for _ in 0..len % 4 {
            // SAFETY: the values and weights that are left.
            unsafe {
                for (own, pixel) in own.iter_mut().zip(&mut pixels) {
                    let x = i32::from(pixel.read());
                    *pixel = pixel.add(1);
                    for (f, sum) in own.iter_mut().enumerate() {
                        *sum = sum.wrapping_add(x * i32::from(weights.add(f).read()));
                    }
                }
                weights = weights.add(F);
            }
        }
    }
    *sums = own;
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
    for _ in 0..groups {
        // SAFETY: of x.len() values and F x.len() weights 4 and 4 F at a time, as often as there are as many.
        unsafe {
            let [values] = words::<1, false>(x.cast());
            x = x.add(4);
            let packed = words::<F, false>(weights.cast());
            weights = weights.add(4 * F);
            let (even, odd) = (even_bytes(values), odd_bytes(values));
            for (sum, packed) in own.iter_mut().zip(packed) {
                *sum = multiply_pairs(even, even_bytes(packed), *sum);
                *sum = multiply_pairs(odd, odd_bytes(packed), *sum);
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

/// One pixel of a narrow convolution: the same 12 values for each filter, pairs of `i16` in words, lower half first.
#[inline(always)]
pub(super) fn narrow(values: [u32; 6], weights: &[u32; 6], bias: i32) -> i32 {
    let mut sum = bias;
    for (values, weights) in values.into_iter().zip(*weights) {
        sum = multiply_pairs(values, weights, sum);
    }
    sum
}

/// Two values that lie one after another.
#[inline(always)]
pub(super) fn pair(x: &[i16], at: usize) -> u32 {
    match x.get(at..).and_then(|x| x.first_chunk::<2>()) {
        // SAFETY: two values of 16 bits are a word.
        Some(pair) => unsafe { words::<1, false>(pair.as_ptr().cast())[0] },
        None => 0,
    }
}

pub(super) fn widen(x: &[i8], y: &mut [i16]) {
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
    let done = values.len().min(targets.len());
    if done == values.len() {
        for (y, x) in targets_left.iter_mut().zip(rest) {
            *y = i16::from(*x);
        }
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
                let [a] = words::<1, false>(first.cast());
                let [b] = words::<1, false>(first.add(channels).cast());
                let [c] = words::<1, false>(second.cast());
                let [d] = words::<1, false>(second.add(channels).cast());
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
