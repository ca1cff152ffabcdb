//! `Writer::quantized`.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::file::Writer;
use lightlayers::{Error, Graph, Model};
use size_sessions::{Quantizable, any, buffer, program, quantizable_plan};

program!(run);

fn run() -> Result<(), Error> {
    write(Quantizable)?;
    write(quantizable_plan())
}

fn write(graph: impl Graph) -> Result<(), Error> {
    let words = any(buffer!(u32, Quantizable::NET.quantized_weights()));
    for block in Writer::quantized(graph, words)?.blocks() {
        black_box(block);
    }
    Ok(())
}
