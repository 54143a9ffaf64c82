"""What is read of a compiled program: exchanges by kind, size, group and loop."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from diffusion_audio.training import parallel, program
from diffusion_audio.training.parallel import ParallelConfig
from diffusion_audio.training.program import Collective

TEXT = """\
HloModule jit_step, is_scheduled=true, num_partitions=8

%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%a, %b)
}

%body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %r = f32[4]{0} all-reduce(%x), channel_id=3, replica_groups={{0,1},{2,3}}, to_apply=%add
  %inner = (s32[], f32[4]) while(%t), condition=%c, body=%deep, backend_config={"known_trip_count":{"n":"5"}}
}

%deep (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %m = f32[4]{0} collective-permute(%x), source_target_pairs={{0,1},{1,0}}
}

%branch (p: f32[4]) -> f32[4] {
  ROOT %a = bf16[2,3]{1,0} all-to-all(%x), replica_groups={{0,1,2,3}}
}

%scattered (p: f32[64]) -> f32[8] {
  ROOT %s = f32[8]{0} reduce-scatter(%p), replica_groups={}, to_apply=%add
}

ENTRY %main (state: f32[8,4]) -> (f32[8,4], f32[]) {
  %g = f32[8,4]{1,0} all-gather(%state), replica_groups=[2,4]<=[8], dimensions={0}
  %two = (f32[8]{0}, /*index=1*/f32[2,2]{1,0}) all-reduce(%a, %b), replica_groups={}, to_apply=%add
  %start = (f32[1,4], f32[8,4]) all-gather-start(%state), replica_groups=[1,8]<=[8]
  %done = f32[8,4]{1,0} all-gather-done(%start), replica_groups=[1,8]<=[8]
  %loop = (s32[], f32[4]) while(%t), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"3"}}
  %cond = f32[4] conditional(%p, %x, %y), branch_computations={%branch, %add}
  %wrapped = ((f32[64]), f32[8]) async-start(%p), calls=%scattered
}
"""  # noqa: E501  (one instruction a line)


def test_collectives_of_a_text():
    assert program.collectives(TEXT) == (
        Collective("all-gather", 4, 128),
        Collective("all-reduce", 8, 48),
        Collective("all-gather", 8, 128),
        Collective("all-reduce", 2, 16, 3),
        Collective("collective-permute", 2, 16, 15),
        Collective("all-to-all", 4, 12),
        Collective("reduce-scatter", 8, 32),
    )


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("all-reduce", 2 * 3 / 4 * 400),
        ("all-gather", 3 / 4 * 400),
        ("reduce-scatter", 3 * 400),
        ("all-to-all", 3 / 4 * 400),
        ("collective-permute", 400),
    ],
)
def test_bytes_sent_around_a_ring(kind, sent):
    assert Collective(kind, 4, 400).sent == sent
    assert Collective(kind, 4, 400, times=2).sent == 2 * sent


def test_a_compiled_program():
    """A product whose inner axis is split: partial sums, added over four devices."""
    mesh = parallel.make_mesh(ParallelConfig(data=4))
    columns = NamedSharding(mesh, PartitionSpec(None, "data"))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    whole = NamedSharding(mesh, PartitionSpec())
    a = jax.ShapeDtypeStruct((16, 64), jnp.float32, sharding=columns)
    b = jax.ShapeDtypeStruct((64, 8), jnp.float32, sharding=rows)
    compiled = jax.jit(jnp.matmul, out_shardings=whole).lower(a, b).compile()
    read = program.read(compiled)
    assert read.collectives == (Collective("all-reduce", 4, 16 * 8 * 4),)
    assert read.arguments == (16 * 16 + 16 * 8) * 4
    assert read.outputs == 16 * 8 * 4
    assert read.memory == read.arguments + read.outputs + read.temporaries
    assert read.flops >= 2 * 16 * 16 * 8
