//! Inference.

use crate::error::{Buffer, BuildError, Error};
use crate::kernels::elementwise::all_finite;
use crate::kernels::lanes;
use crate::layers::Mode;
use crate::network::Layer;
use crate::plan::{Graph, Sizes};
use crate::workspace::{Passes, Source, Workspace, output_place};

/// Runs a trained network.
///
/// A small handle over memory that the user owns: the weights, which may lie in flash, and a workspace of
/// [`Network::inference_workspace`](crate::Network::inference_workspace) elements for every sample that is run at once.
///
/// ```
/// use lightlayers::{Inference, Model, Network};
///
/// struct Xor;
///
/// impl Model for Xor {
///     const NET: Network = Network::features(2).dense(2).relu().dense(1);
/// }
///
/// // relu(a + b) - 2 · relu(a + b - 1)
/// static WEIGHTS: [f32; Xor::NET.weights()] = [1.0, 1.0, 1.0, 1.0, 0.0, -1.0, 1.0, -2.0, 0.0];
///
/// let mut workspace = [0.0; Xor::NET.inference_workspace()];
/// let mut inference = Inference::new(Xor, &WEIGHTS, &mut workspace)?;
/// assert_eq!(inference.run(&[1.0, 0.0])?, [1.0]);
/// assert_eq!(inference.run(&[1.0, 1.0])?, [0.0]);
/// # Ok::<(), lightlayers::Error>(())
/// ```
#[derive(Debug)]
pub struct Inference<'m, G> {
    graph: G,
    weights: &'m [f32],
    workspace: Workspace<'m>,
}

impl<'m, G: Graph> Inference<'m, G> {
    /// A session of `graph`, a [`Model`](crate::Model) or a `&`[`Plan`](crate::Plan).
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if a buffer does not have the length that the network needs.
    pub fn new(graph: G, weights: &'m [f32], workspace: &'m mut [f32]) -> Result<Self, Error> {
        let sizes = graph.sizes();
        check_layers(&graph)?;
        Error::check_length(Buffer::Weights, sizes.weights, weights.len())?;
        let workspace = Workspace::new(workspace, sizes.inference)?;
        Ok(Self {
            graph,
            weights,
            workspace,
        })
    }

    /// The outputs of one sample; of vectors, also of as many samples one after another as the workspace has room for.
    ///
    /// Costs [`Network::multiply_accumulates`](crate::Network::multiply_accumulates) for each sample.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if `input` is not one image, or a whole number of vectors, at least one and at most the workspace's.
    /// [`Error::NonFiniteOutput`] if an output is NaN or infinite: a NaN in the input or the weights stays one in every layer.
    pub fn run(&mut self, input: &[f32]) -> Result<&[f32], Error> {
        let outputs = self.observe(input, |_, _| {})?;
        if all_finite(outputs) {
            Ok(outputs)
        } else {
            Err(Error::NonFiniteOutput)
        }
    }

    pub(crate) fn graph(&self) -> &G {
        &self.graph
    }

    pub(crate) fn sizes(&self) -> Sizes {
        self.graph.sizes()
    }

    /// As [`run`](Self::run), calling `observe` with the layers, and the index and the output of each of them when it has run.
    #[inline(always)]
    pub(crate) fn observe(
        &mut self,
        input: &[f32],
        mut observe: impl FnMut(&[Layer], (usize, &[f32])),
    ) -> Result<&[f32], Error> {
        let sizes = self.graph.sizes();
        let most = match sizes.input_image {
            Some(_) => 1,
            None => self.workspace.capacity(),
        };
        let batch = (input.len() / sizes.input.max(1)).min(most).max(1);
        Error::check_length(Buffer::Input, batch * sizes.input, input.len())?;
        let (weights, moving) = self
            .weights
            .split_at_checked(sizes.trained)
            .ok_or(Error::Plan)?;
        let passes = Passes {
            graph: &self.graph,
            weights,
            batch,
        };
        let slots = self.graph.inference_slots();
        let source = Source::Outside(input);
        passes
            .forward(
                0..self.graph.layers().len(),
                &mut self.workspace,
                source,
                moving,
                Mode::Inference,
                |layers, output| observe(layers, (output.index, output.values)),
            )
            .ok_or(Error::Plan)?;
        let output = output_place(slots, sizes.output).ok_or(Error::Plan)?;
        if let Some(shape) = sizes.output_image {
            let outputs = self.workspace.tensor_mut(output, batch);
            let outputs = outputs.ok_or(Error::Plan)?;
            lanes::separate(outputs, shape, batch);
        }
        self.workspace.tensor(output, batch).ok_or(Error::Plan)
    }
}

/// A network without layers computes nothing.
pub(crate) fn check_layers<G: Graph>(graph: &G) -> Result<(), Error> {
    if graph.layers().is_empty() {
        return Err(Error::Build(BuildError::HasNo {
            layer: "network",
            what: "layers",
        }));
    }
    Ok(())
}
