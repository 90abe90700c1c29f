//! What a metadata key can hold.
//!
//! Arrays are stored by element type, not as lists of values: a vocabulary of 256 000 scores is one `Vec<f32>`.

/// Numbers of the value types in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::String,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// Bytes that a value takes at least: all of a scalar, the length of a string, type and count of an array.
    pub(crate) const fn min_bytes(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::String | Self::U64 | Self::I64 | Self::F64 => 8,
            Self::Array => 12,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Array => "array",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }
}

macro_rules! values {
    ($($kind:ident($type:ty)),* $(,)?) => {
        /// A metadata value.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Value {
            $(#[doc = concat!("A value of GGUF's type ", stringify!($kind), ".")] $kind($type),)*
        }

        /// A metadata array; all elements have one type, which is kept even when there are none.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Array {
            $(#[doc = concat!("Elements of GGUF's type ", stringify!($kind), ".")] $kind(Vec<$type>),)*
        }

        impl Value {
            pub(crate) fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind,)* }
            }
        }

        impl Array {
            pub(crate) fn empty(kind: Kind) -> Self {
                match kind { $(Kind::$kind => Self::$kind(Vec::new()),)* }
            }

            pub(crate) fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind,)* }
            }

            /// How many elements it has.
            pub fn len(&self) -> usize {
                match self { $(Self::$kind(elements) => elements.len(),)* }
            }

            /// The first element as a value of its own.
            pub(crate) fn into_first(self) -> Option<Value> {
                match self { $(Self::$kind(elements) => elements.into_iter().next().map(Value::$kind),)* }
            }

            /// Gives room back that growing left over.
            pub(crate) fn shrink_to_fit(&mut self) {
                match self { $(Self::$kind(elements) => elements.shrink_to_fit(),)* }
            }
        }

        $(
            impl From<$type> for Value {
                fn from(value: $type) -> Self {
                    Self::$kind(value)
                }
            }

            impl From<Vec<$type>> for Value {
                fn from(elements: Vec<$type>) -> Self {
                    Self::Array(Array::$kind(elements))
                }
            }
        )*
    };
}

values! {
    U8(u8), I8(i8), U16(u16), I16(i16), U32(u32), I32(i32), F32(f32), Bool(bool), String(String), Array(Array),
    U64(u64), I64(i64), F64(f64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<&[&str]> for Value {
    fn from(texts: &[&str]) -> Self {
        Self::Array(Array::String(texts.iter().map(|&text| text.to_owned()).collect()))
    }
}

impl Value {
    /// Its type in words: "u32", "array of string".
    pub fn type_name(&self) -> String {
        match self {
            Self::Array(array) => format!("an array of {}", array.kind().name()),
            value => value.kind().name().to_owned(),
        }
    }

    /// An integer of any type, if it is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_integer().and_then(|value| u64::try_from(value).ok())
    }

    /// An integer of any type, if it fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_integer().and_then(|value| i64::try_from(value).ok())
    }

    fn as_integer(&self) -> Option<i128> {
        match *self {
            Self::U8(value) => Some(value.into()),
            Self::I8(value) => Some(value.into()),
            Self::U16(value) => Some(value.into()),
            Self::I16(value) => Some(value.into()),
            Self::U32(value) => Some(value.into()),
            Self::I32(value) => Some(value.into()),
            Self::U64(value) => Some(value.into()),
            Self::I64(value) => Some(value.into()),
            _ => None,
        }
    }

    /// A number of any type, rounded if it is an integer beyond 2^53.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(value) => Some(value.into()),
            Self::F64(value) => Some(value),
            _ => self.as_integer().map(|value| value as f64),
        }
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// A string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// An array.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }
}

impl Array {
    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Strings. An empty array of any type is an empty list of strings: some writers don't know what it would hold.
    pub fn as_strings(&self) -> Option<&[String]> {
        match self {
            Self::String(texts) => Some(texts),
            array if array.is_empty() => Some(&[]),
            _ => None,
        }
    }

    /// Integers of any type, if all fit.
    pub fn to_integers(&self) -> Option<Vec<i64>> {
        match self {
            Self::U8(elements) => Some(elements.iter().map(|&element| element.into()).collect()),
            Self::I8(elements) => Some(elements.iter().map(|&element| element.into()).collect()),
            Self::U16(elements) => Some(elements.iter().map(|&element| element.into()).collect()),
            Self::I16(elements) => Some(elements.iter().map(|&element| element.into()).collect()),
            Self::U32(elements) => Some(elements.iter().map(|&element| element.into()).collect()),
            Self::I32(elements) => Some(elements.iter().map(|&element| element.into()).collect()),
            Self::U64(elements) => elements.iter().map(|&element| element.try_into().ok()).collect(),
            Self::I64(elements) => Some(elements.clone()),
            array if array.is_empty() => Some(Vec::new()),
            _ => None,
        }
    }

    /// Floating-point numbers; those of an f64 array are rounded.
    pub fn to_floats(&self) -> Option<Vec<f32>> {
        match self {
            Self::F32(elements) => Some(elements.clone()),
            Self::F64(elements) => Some(elements.iter().map(|&element| element as f32).collect()),
            array if array.is_empty() => Some(Vec::new()),
            _ => None,
        }
    }
}

/// How the reader fills arrays.
impl Array {
    /// Appends numbers or booleans, whose bytes have to be whole; the error is a byte that is no boolean. Strings and
    /// arrays have no fixed size, and are not appended this way.
    pub(crate) fn extend_from_le_bytes(&mut self, bytes: &[u8]) -> Result<(), u8> {
        macro_rules! extend {
            ($elements:expr, $type:ty) => {
                $elements.extend(bytes.as_chunks().0.iter().map(|&bytes| <$type>::from_le_bytes(bytes)))
            };
        }
        match self {
            Self::U8(elements) => elements.extend_from_slice(bytes),
            Self::I8(elements) => extend!(elements, i8),
            Self::U16(elements) => extend!(elements, u16),
            Self::I16(elements) => extend!(elements, i16),
            Self::U32(elements) => extend!(elements, u32),
            Self::I32(elements) => extend!(elements, i32),
            Self::F32(elements) => extend!(elements, f32),
            Self::U64(elements) => extend!(elements, u64),
            Self::I64(elements) => extend!(elements, i64),
            Self::F64(elements) => extend!(elements, f64),
            Self::Bool(elements) => {
                if let Some(&byte) = bytes.iter().find(|&&byte| byte > 1) {
                    return Err(byte);
                }
                elements.extend(bytes.iter().map(|&byte| byte == 1));
            }
            Self::String(_) | Self::Array(_) => {}
        }
        Ok(())
    }
}
