//! Random networks have the same bits however they are run; see [`differential`].
//!
//! A thousand of them in every run of the tests, from fixed seeds; two hundred with the feature `parallel`, where each is run on five
//! numbers of threads as well. `LIGHTLAYERS_NETWORKS` asks for another number:
//!
//! ```sh
//! LIGHTLAYERS_NETWORKS=10000 cargo test -p host-tests --features parallel --test differential -- --nocapture
//! ```

use std::env::{self, VarError};

use differential::{Choices, compare};

#[test]
fn random_networks_have_the_same_bits_however_they_are_run() {
    let networks = match env::var("LIGHTLAYERS_NETWORKS") {
        Ok(number) => number.parse().expect("LIGHTLAYERS_NETWORKS is a number"),
        Err(VarError::NotPresent) if cfg!(feature = "parallel") => 200,
        Err(VarError::NotPresent) => 1000,
        Err(error) => panic!("LIGHTLAYERS_NETWORKS: {error}"),
    };
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
