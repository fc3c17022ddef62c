//! Just enough of the ONNX format to read weights: the messages that hold them, and `DequantizeLinear` by blocks.
//! Nothing here runs a graph.

use std::collections::HashMap;

use prost::Message;

/// Why a file cannot be read as the graph that it should be.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// Not the protobuf message of a model.
    #[error("not an ONNX file")]
    Decode(#[from] prost::DecodeError),
    /// A tensor or node that the networks need is missing.
    #[error("{0} is missing from the graph")]
    Missing(String),
    /// A tensor has a type, shape or length that this reader does not expect.
    #[error("{0} has an unexpected type or shape")]
    Unexpected(String),
}

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, tag = "2")]
    f: f32,
    #[prost(int64, tag = "3")]
    i: i64,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

/// `TensorProto.data_type` of the types that occur.
const FLOAT: i32 = 1;
const INT8: i32 = 3;
const INT64: i32 = 7;

/// Numbers and their shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// The numbers, last dimension fastest.
    pub values: Vec<f32>,
}

/// A node of the graph, in the words of its file.
pub struct Node<'a>(&'a NodeProto);

impl Node<'_> {
    /// The name of its first output.
    pub fn output(&self) -> &str {
        self.0.output.first().map_or("", String::as_str)
    }

    /// The name of its input number `index`; empty if it has none.
    pub fn input(&self, index: usize) -> &str {
        self.0.input.get(index).map_or("", String::as_str)
    }

    /// A floating point attribute.
    pub fn float(&self, name: &str) -> Option<f32> {
        self.0.attribute.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.f)
    }

    fn integer(&self, name: &str) -> i64 {
        self.0.attribute.iter().find(|attribute| attribute.name == name).map_or(0, |attribute| attribute.i)
    }
}

/// The graph of an ONNX file.
pub struct Graph {
    nodes: Vec<NodeProto>,
    tensors: HashMap<String, TensorProto>,
}

impl Graph {
    /// Reads an ONNX file.
    pub fn decode(bytes: &[u8]) -> Result<Self, OnnxError> {
        let graph = ModelProto::decode(bytes)?.graph.ok_or_else(|| OnnxError::Missing("the graph".to_owned()))?;
        let named = |tensor: TensorProto| (tensor.name.clone(), tensor);
        Ok(Self { nodes: graph.node, tensors: graph.initializer.into_iter().map(named).collect() })
    }

    /// The nodes of one operator, in the order of the file.
    pub fn nodes(&self, operator: &str) -> impl Iterator<Item = Node<'_>> {
        self.nodes.iter().filter(move |node| node.op_type == operator).map(Node)
    }

    /// The node of one operator whose first input is `input`.
    pub fn consumer(&self, operator: &str, input: &str) -> Option<Node<'_>> {
        self.nodes(operator).find(|node| node.input(0) == input)
    }

    /// The weights called `name`: stored as they are, or made by dequantising and reshaping.
    pub fn weights(&self, name: &str) -> Result<Array, OnnxError> {
        if let Some(tensor) = self.tensors.get(name) {
            return Ok(Array { shape: shape(tensor)?, values: floats(tensor)? });
        }
        let node = self
            .nodes
            .iter()
            .find(|node| node.output.iter().any(|output| output == name))
            .ok_or_else(|| OnnxError::Missing(name.to_owned()))?;
        match node.op_type.as_str() {
            "Reshape" => self.reshape(&Node(node)),
            "DequantizeLinear" => self.dequantize(&Node(node)),
            _ => Err(OnnxError::Unexpected(name.to_owned())),
        }
    }

    fn reshape(&self, node: &Node<'_>) -> Result<Array, OnnxError> {
        let weights = self.weights(node.input(0))?;
        let unexpected = || OnnxError::Unexpected(node.output().to_owned());
        let shape: Option<Vec<usize>> =
            integers(self.tensor(node.input(1))?)?.into_iter().map(|length| usize::try_from(length).ok()).collect();
        let shape = shape.ok_or_else(unexpected)?;
        if elements(&shape) != Some(weights.values.len()) {
            return Err(unexpected());
        }
        Ok(Array { shape, values: weights.values })
    }

    /// `(quantised - zero point) * scale`, where scale and zero point belong to a block of `block_size` numbers along
    /// the last dimension.
    fn dequantize(&self, node: &Node<'_>) -> Result<Array, OnnxError> {
        let quantised = self.tensor(node.input(0))?;
        let scales = floats(self.tensor(node.input(1))?)?;
        let zeros = bytes(self.tensor(node.input(2))?)?;
        let shape = shape(quantised)?;
        let quantised = bytes(quantised)?;
        let unexpected = || OnnxError::Unexpected(node.output().to_owned());
        let row = *shape.last().ok_or_else(unexpected)?;
        let block = usize::try_from(node.integer("block_size")).map_err(|_| unexpected())?;
        let axis = usize::try_from(node.integer("axis")).map_err(|_| unexpected())?;
        if axis + 1 != shape.len() || row == 0 || block == 0 {
            return Err(unexpected());
        }
        let blocks = row.div_ceil(block);
        let rows = quantised.len() / row;
        if scales.len() != rows * blocks || zeros.len() != scales.len() {
            return Err(unexpected());
        }
        let values = quantised
            .iter()
            .enumerate()
            .map(|(index, &value)| {
                let block = index / row * blocks + index % row / block;
                f32::from(i16::from(value) - i16::from(zeros[block])) * scales[block]
            })
            .collect();
        Ok(Array { shape, values })
    }

    fn tensor(&self, name: &str) -> Result<&TensorProto, OnnxError> {
        self.tensors.get(name).ok_or_else(|| OnnxError::Missing(name.to_owned()))
    }
}

fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length))
}

fn shape(tensor: &TensorProto) -> Result<Vec<usize>, OnnxError> {
    tensor
        .dims
        .iter()
        .map(|&length| usize::try_from(length).map_err(|_| OnnxError::Unexpected(tensor.name.clone())))
        .collect()
}

fn floats(tensor: &TensorProto) -> Result<Vec<f32>, OnnxError> {
    let values = if tensor.raw_data.is_empty() {
        tensor.float_data.clone()
    } else {
        let quads = tensor.raw_data.as_chunks::<4>().0;
        quads.iter().map(|&quad| f32::from_le_bytes(quad)).collect()
    };
    checked(tensor, FLOAT, values)
}

fn bytes(tensor: &TensorProto) -> Result<Vec<i8>, OnnxError> {
    let values = if tensor.raw_data.is_empty() {
        tensor.int32_data.iter().map(|&value| value as i8).collect()
    } else {
        tensor.raw_data.iter().map(|&byte| i8::from_le_bytes([byte])).collect()
    };
    checked(tensor, INT8, values)
}

fn integers(tensor: &TensorProto) -> Result<Vec<i64>, OnnxError> {
    let values = if tensor.raw_data.is_empty() {
        tensor.int64_data.clone()
    } else {
        let eights = tensor.raw_data.as_chunks::<8>().0;
        eights.iter().map(|&eight| i64::from_le_bytes(eight)).collect()
    };
    checked(tensor, INT64, values)
}

fn checked<T>(tensor: &TensorProto, data_type: i32, values: Vec<T>) -> Result<Vec<T>, OnnxError> {
    let expected = elements(&shape(tensor)?);
    if tensor.data_type != data_type || expected != Some(values.len()) {
        return Err(OnnxError::Unexpected(tensor.name.clone()));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, data_type: i32, dims: &[i64]) -> TensorProto {
        TensorProto { name: name.to_owned(), data_type, dims: dims.to_vec(), ..TensorProto::default() }
    }

    fn attribute(name: &str, i: i64) -> AttributeProto {
        AttributeProto { name: name.to_owned(), i, f: 0.0 }
    }

    /// Two rows of three numbers in blocks of two: the second block of a row is cut short.
    fn graph() -> Vec<u8> {
        let quantised = TensorProto { raw_data: vec![1, 2, 3, 255, 254, 253], ..tensor("q", INT8, &[2, 3]) };
        let scales = TensorProto { float_data: vec![1.0, 10.0, 0.5, 100.0], ..tensor("s", FLOAT, &[2, 2]) };
        let zeros = TensorProto { int32_data: vec![0, 1, 0, -1], ..tensor("z", INT8, &[2, 2]) };
        let shape = TensorProto { int64_data: vec![3, 2], ..tensor("shape", INT64, &[2]) };
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let node = vec![
            NodeProto {
                input: names(&["q", "s", "z"]),
                output: names(&["w"]),
                op_type: "DequantizeLinear".to_owned(),
                attribute: vec![attribute("block_size", 2), attribute("axis", 1)],
            },
            NodeProto {
                input: names(&["w", "shape"]),
                output: names(&["reshaped"]),
                op_type: "Reshape".to_owned(),
                attribute: vec![],
            },
        ];
        let initializer = vec![quantised, scales, zeros, shape];
        ModelProto { graph: Some(GraphProto { node, initializer }) }.encode_to_vec()
    }

    #[test]
    fn blocks_are_dequantised_and_reshaped() {
        let weights = Graph::decode(&graph()).unwrap().weights("reshaped").unwrap();
        assert_eq!(weights.shape, [3, 2]);
        assert_eq!(weights.values, [1.0, 2.0, 20.0, -0.5, -1.0, -200.0]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = Graph::decode(&graph()).unwrap().weights("w2").unwrap_err();
        assert_eq!(error.to_string(), "w2 is missing from the graph");
        assert!(matches!(Graph::decode(b"no protobuf"), Err(OnnxError::Decode(_))));
    }
}
