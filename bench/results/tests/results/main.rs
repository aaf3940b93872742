//! The model as measurements use it: records that are kept, drawn, printed and held against each other.

#[cfg(test)]
mod comparing;
#[cfg(test)]
mod keeping;
#[cfg(test)]
mod made;
#[cfg(test)]
mod rendering;
