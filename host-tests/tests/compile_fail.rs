//! Mistakes that users make, and what the compiler says to them: the files in `compile-fail/`.
//!
//! After a change of the messages, or with another compiler, `TRYBUILD=overwrite cargo test -p
//! host-tests --test compile_fail` writes them anew; read them before committing.

#[test]
fn mistakes_do_not_compile() {
    trybuild::TestCases::new().compile_fail("compile-fail/*.rs");
}
