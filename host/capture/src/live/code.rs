//! Programs of the kernel side as instructions, for what aya cannot load: programs for links, and one program
//! for several functions of the kernel. They have no type information, which nothing in them needs.

use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use aya::Ebpf;
use aya::maps::{Map, MapData};
use aya_obj::Object;

use super::bpf::{self, Instruction, ProgramKind};
use super::load::reason;

/// Programs that are not in the kernel yet, their references to maps resolved.
pub(super) struct Code {
    programs: HashMap<String, Vec<Instruction>>,
    license: CString,
}

impl Code {
    /// Reads programs out of the object. The maps have to stay until they are loaded.
    pub(super) fn read(object: &[u8], ebpf: &Ebpf, names: &[&[&str]]) -> Result<Self, String> {
        let mut object = Object::parse(object).map_err(|error| reason(&error))?;
        object
            .programs
            .retain(|name, _| names.iter().any(|names| names.contains(&name.as_str())));
        let fds: HashMap<&str, RawFd> = ebpf
            .maps()
            .filter_map(|(name, map)| Some((name, data(map)?.fd().as_fd().as_raw_fd())))
            .collect();
        let maps = std::mem::take(&mut object.maps);
        let known = maps
            .iter()
            .filter_map(|(name, map)| Some((name.as_str(), *fds.get(name.as_str())?, map)));
        let text: HashSet<usize> = object
            .functions
            .keys()
            .map(|(section, _)| *section)
            .collect();
        object
            .relocate_maps(known, &text)
            .map_err(|error| reason(&error))?;
        object
            .relocate_calls(&text)
            .map_err(|error| reason(&error))?;
        let programs = object
            .programs
            .iter()
            .filter_map(|(name, program)| {
                let key = (program.section_index, program.address);
                let function = object.functions.get(&key)?;
                let code = function.instructions.iter().map(|instruction| Instruction {
                    code: instruction.code,
                    registers: instruction.dst_reg() | instruction.src_reg() << 4,
                    offset: instruction.off,
                    immediate: instruction.imm,
                });
                Some((name.clone(), code.collect()))
            })
            .collect();
        Ok(Self {
            programs,
            license: object.license,
        })
    }

    /// Loads a program. `swap`: a map that it refers to, and the one that it is to refer to instead.
    pub(super) fn load(
        &self,
        name: &str,
        kind: ProgramKind,
        swap: Option<(RawFd, RawFd)>,
    ) -> Result<OwnedFd, String> {
        let code = self
            .programs
            .get(name)
            .ok_or_else(|| format!("the kernel side has no program {name}"))?;
        let mut code = code.clone();
        if let Some((from, to)) = swap {
            for instruction in &mut code {
                instruction.refer_to(from, to);
            }
        }
        bpf::load_code(kind, name, &code, &self.license).map_err(|error| {
            let why = bpf::refusal(kind, &code, &self.license);
            format!("{name} is refused: {error}: {why}")
        })
    }
}

/// The maps of programs that are loaded here are of these kinds; a reference to one of another is
/// refused when the programs are read.
fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::ArrayOfMaps(data)
        | Map::HashMap(data)
        | Map::HashOfMaps(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::PerCpuHashMap(data)
        | Map::ProgramArray(data) => Some(data),
        _ => None,
    }
}
