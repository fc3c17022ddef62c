//! Batch norms, and folding them into the weights before or after them.

use super::super::onnx::{Array, Graph, Node, OnnxError};
use super::following;

/// The epsilon of batch norms that name none.
pub const DEFAULT_EPSILON: f64 = 1e-5;

/// A batch norm as `scale * x + shift`, for each channel.
pub struct Norm {
    pub name: String,
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
}

impl Norm {
    /// Out of its four vectors: gamma, beta, mean, variance.
    pub fn new(name: &str, [gamma, beta, mean, variance]: [Vec<f32>; 4], epsilon: f64) -> Self {
        let scale: Vec<f64> = gamma
            .iter()
            .zip(&variance)
            .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + epsilon).sqrt())
            .collect();
        let shift = beta
            .iter()
            .zip(&mean)
            .zip(&scale)
            .map(|((&beta, &mean), scale)| f64::from(beta) - f64::from(mean) * scale)
            .collect();
        Self { name: name.to_owned(), scale, shift }
    }

    /// The one that takes the output of another node.
    pub fn after(graph: &Graph, input: &str) -> Result<Self, OnnxError> {
        Self::read(graph, &following(graph, "BatchNormalization", input)?)
    }

    /// The one whose own output has that name.
    pub fn named(graph: &Graph, output: &str) -> Result<Self, OnnxError> {
        let node = graph.nodes("BatchNormalization").find(|node| node.output() == output);
        Self::read(graph, &node.ok_or_else(|| OnnxError::Missing(output.to_owned()))?)
    }

    fn read(graph: &Graph, node: &Node<'_>) -> Result<Self, OnnxError> {
        let part = |index| graph.weights(node.input(index)).map(|array| array.values);
        let epsilon = node.float("epsilon").map_or(DEFAULT_EPSILON, f64::from);
        Ok(Self::new(node.output(), [part(1)?, part(2)?, part(3)?, part(4)?], epsilon))
    }

    /// For a norm after a layer: multiplies each output's weights.
    pub fn scale_rows(&self, weight: &mut Array) -> Result<(), OnnxError> {
        if weight.shape.first() != Some(&self.scale.len()) {
            return Err(OnnxError::Unexpected(self.name.clone()));
        }
        let row = weight.values.len() / self.scale.len();
        for (row, scale) in weight.values.chunks_exact_mut(row).zip(&self.scale) {
            for value in row {
                *value = (f64::from(*value) * scale) as f32;
            }
        }
        Ok(())
    }

    /// For a norm before a linear layer over flattened maps: each channel owns a run of columns.
    pub fn fold_into_columns(&self, weight: &mut Array, bias: &mut [f64]) -> Result<(), OnnxError> {
        let columns = weight.shape.get(1).copied().unwrap_or_default();
        let channels = self.scale.len();
        if columns == 0 || columns % channels != 0 || weight.shape.first() != Some(&bias.len()) {
            return Err(OnnxError::Unexpected(self.name.clone()));
        }
        let run = columns / channels;
        for (row, bias) in weight.values.chunks_exact_mut(columns).zip(bias) {
            for (column, value) in row.iter_mut().enumerate() {
                let exact = f64::from(*value);
                *bias += exact * self.shift[column / run];
                *value = (exact * self.scale[column / run]) as f32;
            }
        }
        Ok(())
    }
}
