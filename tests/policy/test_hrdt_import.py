"""An H-RDT checkpoint in our decoder gives what H-RDT's equations give.

The equations are written out here again, from the paper and the published names, without our modules.
"""

from __future__ import annotations

import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from rounding import rounding
from safetensors.torch import save_file

from mivla_drivers.errors import DataError
from mivla_policy.benchmarks.decoder_speed import randomised
from mivla_policy.model.config import DecoderConfig, ModelConfig
from mivla_policy.model.hrdt_import import hrdt_names, import_hrdt, read_hrdt
from mivla_policy.model.mivla import Batch, Mivla

WIDTH, BLOCKS, HEADS, KV_HEADS, HORIZON, ACTIONS = 48, 3, 4, 2, 16, 14
IMAGES, LANGUAGE, IMAGE_WIDTH, LANGUAGE_WIDTH, HIDDEN = 20, 12, 24, 40, 128
HEAD = WIDTH // HEADS
EPS = 1e-5


def our_model(
    image_tokens=IMAGES,
    image_width=IMAGE_WIDTH,
    width=WIDTH,
    masks=False,
    views=("head",),
    action_width=ACTIONS,
):
    sizes = (width, BLOCKS, HEADS, KV_HEADS, image_tokens, LANGUAGE)
    decoder = DecoderConfig(*sizes, feed_forward_multiple=64, action_width=action_width)
    config = ModelConfig(
        name="like_hrdt",
        views=views,
        image_tokeniser="efficientnet_lite0",
        image_size=64,
        image_grid=4,
        image_width=image_width,
        language_tokeniser="minilm",
        language_width=LANGUAGE_WIDTH,
        masks_as_input=masks,
        decoder=decoder,
    )
    return randomised(Mivla(config), seed=9).eval()


@pytest.fixture(scope="module")
def state():
    return published_state()


def published_state(actions=ACTIONS):
    """A random state dict with the names and shapes of a published checkpoint."""
    generator = torch.Generator().manual_seed(0)
    state = {}

    def add(name, *shape):
        spread = 0.5 / math.sqrt(shape[-1]) if len(shape) > 1 else 0.2
        state[name] = spread * torch.randn(shape, generator=generator)

    def add_linear(name, inputs, outputs):
        add(f"{name}.weight", outputs, inputs)
        add(f"{name}.bias", outputs)

    def add_norm(name, width):
        state[f"{name}.weight"] = 1 + 0.2 * torch.randn(width, generator=generator)
        add(f"{name}.bias", width)

    add("model.x_pos_emb", 1, 1 + HORIZON, WIDTH)
    add("model.img_pos_emb", 1, IMAGES, WIDTH)
    add("model.lang_pos_emb", 1, LANGUAGE, WIDTH)
    add_linear("model.t_embedder.mlp.0", 256, WIDTH)
    add_linear("model.t_embedder.mlp.2", WIDTH, WIDTH)
    for i in range(BLOCKS):
        block = f"model.blocks.{i}"
        for norm in ("attn", "img_cross", "img_cond", "lang_cross", "lang_cond", "ffn"):
            add_norm(f"{block}.{norm}_norm", WIDTH)
        for attention in ("attn", "img_cross_attn", "lang_cross_attn"):
            add(f"{block}.{attention}.wq.weight", WIDTH, WIDTH)
            add(f"{block}.{attention}.wkv.weight", KV_HEADS * HEAD * 2, WIDTH)
            add(f"{block}.{attention}.wo.weight", WIDTH, WIDTH)
            for norm in ("norm_q", "norm_k"):
                state[f"{block}.{attention}.{norm}.weight"] = 1 + 0.2 * torch.randn(HEAD, generator=generator)
        add(f"{block}.ffn.w1.weight", HIDDEN, WIDTH)
        add(f"{block}.ffn.w2.weight", WIDTH, HIDDEN)
        add(f"{block}.ffn.w3.weight", HIDDEN, WIDTH)
        add_linear(f"{block}.adaLN_modulation.1", WIDTH, 9 * WIDTH)
    add_norm("model.action_decoder.ffn_norm", WIDTH)
    add_linear("model.action_decoder.ffn.fc1", WIDTH, 4 * WIDTH)
    add_linear("model.action_decoder.ffn.fc2", 4 * WIDTH, actions)
    add_linear("model.action_decoder.adaLN_modulation.1", WIDTH, 2 * WIDTH)
    for adapter, inputs in (("img_adapter", IMAGE_WIDTH), ("lang_adapter", LANGUAGE_WIDTH)):
        add_linear(f"{adapter}.0", inputs, WIDTH)
        add_linear(f"{adapter}.2", WIDTH, WIDTH)
    for adaptor in ("state_adaptor", "action_adaptor"):
        add_linear(f"action_encoder.{adaptor}.0", actions, WIDTH)
        add_linear(f"action_encoder.{adaptor}.2", WIDTH, WIDTH)
        add_linear(f"action_encoder.{adaptor}.4", WIDTH, WIDTH)
    return state


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(1)
    valid = torch.ones(ACTIONS, dtype=torch.bool)
    return Batch(
        image_tokens=torch.randn(2, IMAGES, IMAGE_WIDTH, generator=generator),
        language_tokens=torch.randn(2, 9, LANGUAGE_WIDTH, generator=generator),
        language_mask=None,
        state=torch.randn(2, ACTIONS, generator=generator),
        state_mask=valid,
        action_mask=valid,
    )


class Equations:
    """H-RDT's inference as its paper and names say, everything computed at every step."""

    def __init__(self, state):
        self.w = state

    def linear(self, x, name):
        return x @ self.w[f"{name}.weight"].T + self.w.get(f"{name}.bias", 0.0)

    def mlp(self, x, name, layers):
        for layer in range(layers):
            x = self.linear(F.silu(x) if layer else x, f"{name}.{2 * layer}")
        return x

    def norm(self, x, name):
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + EPS).sqrt()
        return x * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def rms(self, x, name):
        return x / (x.square().mean(-1, keepdim=True) + EPS).sqrt() * self.w[f"{name}.weight"]

    def attention(self, x, memory, name):
        batch, count, _ = x.shape
        q = self.rms(self.linear(x, f"{name}.wq").view(batch, count, HEADS, HEAD), f"{name}.norm_q")
        both = self.linear(memory, f"{name}.wkv").view(batch, -1, KV_HEADS, HEAD, 2)
        k, v = self.rms(both[..., 0], f"{name}.norm_k"), both[..., 1]
        k, v = (one.repeat_interleave(HEADS // KV_HEADS, dim=2) for one in (k, v))
        weights = (torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(HEAD)).softmax(-1)
        return self.linear(
            torch.einsum("bhqk,bkhd->bqhd", weights, v).reshape(batch, count, -1), f"{name}.wo"
        )

    def time(self, t):
        rates = torch.exp(-math.log(10000) * torch.arange(128) / 128)
        waves = torch.cat([torch.cos(t[:, None] * rates), torch.sin(t[:, None] * rates)], dim=-1)
        return self.mlp(waves, "model.t_embedder.mlp", 2)

    def modulated(self, x, shift, scale):
        return x * (1 + scale[:, None]) + shift[:, None]

    def block(self, x, images, language, time, name):
        m = self.linear(F.silu(time), f"{name}.adaLN_modulation.1").chunk(9, dim=-1)
        y = self.modulated(self.norm(x, f"{name}.attn_norm"), m[0], m[1])
        x = x + m[2][:, None] * self.attention(y, y, f"{name}.attn")
        y = self.modulated(self.norm(x, f"{name}.img_cross_norm"), m[3], m[4])
        seen = self.attention(y, self.norm(images, f"{name}.img_cond_norm"), f"{name}.img_cross_attn")
        x = x + m[5][:, None] * seen
        y = self.norm(x, f"{name}.lang_cross_norm")
        x = x + self.attention(y, self.norm(language, f"{name}.lang_cond_norm"), f"{name}.lang_cross_attn")
        y = self.modulated(self.norm(x, f"{name}.ffn_norm"), m[6], m[7])
        gated = F.silu(self.linear(y, f"{name}.ffn.w1")) * self.linear(y, f"{name}.ffn.w3")
        return x + m[8][:, None] * self.linear(gated, f"{name}.ffn.w2")

    def velocity(self, batch, chunk, t):
        images = self.mlp(batch.image_tokens, "img_adapter", 2) + self.w["model.img_pos_emb"]
        language = self.mlp(batch.language_tokens, "lang_adapter", 2)
        language = language + self.w["model.lang_pos_emb"][:, : language.shape[1]]
        state = self.mlp(batch.state[:, None], "action_encoder.state_adaptor", 3)
        x = torch.cat([state, self.mlp(chunk, "action_encoder.action_adaptor", 3)], dim=1)
        x, time = x + self.w["model.x_pos_emb"], self.time(t)
        for i in range(BLOCKS):
            x = self.block(x, images, language, time, f"model.blocks.{i}")
        name = "model.action_decoder"
        m = self.linear(F.silu(time), f"{name}.adaLN_modulation.1").chunk(2, dim=-1)
        x = self.modulated(self.norm(x, f"{name}.ffn_norm"), m[0], m[1])
        x = self.linear(F.silu(self.linear(x, f"{name}.ffn.fc1")), f"{name}.ffn.fc2")
        return x[:, -HORIZON:]

    def sample(self, batch, noise, steps=5):
        chunk = noise
        for step in range(steps):
            chunk = chunk + self.velocity(batch, chunk, torch.full((len(noise),), step / steps)) / steps
        return chunk


def test_our_decoder_gives_what_h_rdts_equations_give(state, batch):
    model = our_model()
    import_hrdt(model, state, with_actions=True)
    noise = torch.randn(2, HORIZON, ACTIONS, generator=torch.Generator().manual_seed(2))
    expected = Equations(state).sample(batch, noise)
    assert expected.std() > 0.5
    torch.testing.assert_close(model.sample(batch, noise), expected, atol=rounding(expected), rtol=0)


def test_one_velocity_agrees_at_any_flow_time(state, batch):
    model = our_model()
    import_hrdt(model, state, with_actions=True)
    chunk = torch.randn(2, HORIZON, ACTIONS, generator=torch.Generator().manual_seed(3))
    t = torch.tensor([0.13, 0.91])
    with torch.no_grad():
        ours = model.velocity(batch, chunk, model.encode(batch), model.decoder.modulate(t))
    expected = Equations(state).velocity(batch, chunk, t)
    torch.testing.assert_close(ours, expected, atol=rounding(expected), rtol=0)


def test_every_published_tensor_has_a_place(state):
    assert set(hrdt_names(BLOCKS)) == set(state)
    report = import_hrdt(our_model(), state, with_actions=True)
    assert set(report.taken) | {"view_embedding"} == set(our_model().state_dict())


def test_projections_of_another_action_space_start_fresh(state):
    model = our_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = import_hrdt(model, state)
    fresh = [name for name in report.left if name.startswith(("state_", "action_", "decoder.last"))]
    assert len(fresh) == 6 + 6 + 8
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in fresh)


def test_image_positions_of_another_length_are_left_and_said(state):
    report = import_hrdt(our_model(image_tokens=16), state)
    assert (
        report.left["decoder.image_position"]
        == f"expected shape (1, 16, {WIDTH}), found (1, {IMAGES}, {WIDTH})"
    )
    assert "decoder.language_position" in report.taken


def test_an_image_projection_of_which_one_layer_does_not_fit_is_left_whole():
    """Its second layer alone would read features that the first one, started fresh, never gave."""
    model = our_model(image_width=32)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = import_hrdt(model, published_state())
    own = [name for name in before if name.startswith("image_projection.")]
    assert len(own) == 4
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in own)
    assert (
        report.left["image_projection.0.weight"]
        == f"expected shape ({WIDTH}, 32), found ({WIDTH}, {IMAGE_WIDTH})"
    )
    assert report.left["image_projection.2.bias"] == "goes with image_projection.0.weight, which does not fit"


def test_image_positions_of_one_view_become_those_of_each(state):
    model = our_model(image_tokens=32, views=("head", "left_wrist"))
    of_one = {**state, "model.img_pos_emb": torch.arange(16.0)[None, :, None].expand(1, 16, WIDTH)}
    report = import_hrdt(model, of_one)
    assert "decoder.image_position" in report.taken
    found = model.decoder.image_position.detach()
    assert torch.equal(found, of_one["model.img_pos_emb"].repeat(1, 2, 1))


def test_action_layers_of_egodex_fill_our_first_48_slots():
    model = our_model(action_width=76)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = published_state(actions=48)
    report = import_hrdt(model, state, with_actions=True)
    after = model.state_dict()
    first, last = state["action_encoder.action_adaptor.0.weight"], state["model.action_decoder.ffn.fc2.bias"]
    assert torch.equal(after["action_projection.0.weight"][:, :48], first)
    assert torch.equal(
        after["action_projection.0.weight"][:, 48:], before["action_projection.0.weight"][:, 48:]
    )
    assert torch.equal(after["decoder.last.output.bias"][:48], last)
    assert torch.equal(after["decoder.last.output.bias"][48:], before["decoder.last.output.bias"][48:])
    assert torch.equal(after["state_projection.4.weight"], state["action_encoder.state_adaptor.4.weight"])
    assert report.left["decoder.last.output.weight"] == "slots from 48 are not EgoDex's, start fresh"


def test_action_layers_of_another_robot_are_left_whole():
    model = our_model(action_width=76)
    report = import_hrdt(model, published_state(actions=14), with_actions=True)
    assert not [name for name in report.taken if name.startswith(("state_", "action_", "decoder.last"))]


def test_blocks_of_another_width_are_refused(state):
    with pytest.raises(DataError, match=r"expected shape \(.*\), found \(.*\)"):
        import_hrdt(our_model(width=96), state)


def test_a_missing_block_is_named(state):
    lacking = {name: value for name, value in state.items() if "blocks.2.ffn.w3" not in name}
    with pytest.raises(DataError, match=r"expected model.blocks.2.ffn.w3.weight, found no such tensor"):
        import_hrdt(our_model(), lacking)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_both_published_formats_are_read(tmp_path, state, name):
    path = tmp_path / name
    torch.save(state, path) if name.endswith("bin") else save_file(state, path)
    read = read_hrdt(path)
    assert all(torch.equal(read[key], value) for key, value in state.items())


class Trap:
    """A pickle of it would run code when it is read."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('code ran')",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"weight": Trap()}, path)
    with pytest.raises(DataError, match=r"pytorch_model.bin: expected a pickled state dict of tensors only"):
        read_hrdt(path)
    path.write_bytes(pickle.dumps({"weight": Trap()}))
    with pytest.raises(DataError, match=r"pytorch_model.bin"):
        read_hrdt(path)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing.bin: expected pytorch_model.bin or model.safetensors"):
        read_hrdt(tmp_path / "nothing.bin")


def test_something_else_than_a_state_dict_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.bin")
    with pytest.raises(DataError, match="expected a state dict of tensors, found list"):
        read_hrdt(tmp_path / "list.bin")
