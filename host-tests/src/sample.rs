//! Seeded test data: the same seed gives the same values on every machine.

use ndarray::{Array, Dimension, ShapeBuilder};

/// An array of values drawn uniformly from `low..high`, in row-major order.
///
/// The generator is SplitMix64 (Steele, Lea, Flood, 2014); its upper 53 bits make the value.
pub fn uniform<D, S>(shape: S, low: f64, high: f64, seed: u64) -> Array<f64, D>
where
    D: Dimension,
    S: ShapeBuilder<Dim = D>,
{
    let mut state = seed;
    Array::from_shape_simple_fn(shape, || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        low + (high - low) * (bits >> 11) as f64 / (1_u64 << 53) as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fill_the_range_and_repeat_with_the_seed() {
        let values = uniform((100, 100), -1.0, 3.0, 7);
        assert!(values.iter().all(|&value| (-1.0..3.0).contains(&value)));
        // 10,000 values of variance 4²/12: the standard error of the mean is 0.0115.
        assert!((values.mean().unwrap() - 1.0).abs() < 0.05);
        assert_eq!(values, uniform((100, 100), -1.0, 3.0, 7));
        assert_ne!(values, uniform((100, 100), -1.0, 3.0, 8));
    }
}
