//! Random networks have the same bits however they are run; see [`differential`].
//!
//! Some hundred of them in every run of the tests, from fixed seeds. `LIGHTLAYERS_NETWORKS=10000` runs as many:
//!
//! ```sh
//! LIGHTLAYERS_NETWORKS=10000 cargo test -p host-tests --features parallel --test differential -- --nocapture
//! ```

use differential::{Choices, compare};

#[test]
fn random_networks_have_the_same_bits_however_they_are_run() {
    let networks = std::env::var("LIGHTLAYERS_NETWORKS");
    let networks = networks.map_or(400, |number| number.parse().expect("a number"));
    let mut differences = 0;
    for seed in 0..networks {
        if let Err(difference) = compare(&mut Choices::of_seed(seed)) {
            println!("seed {seed}: {difference}");
            differences += 1;
        }
    }
    println!("{networks} networks, {differences} differences");
    assert_eq!(differences, 0);
}
