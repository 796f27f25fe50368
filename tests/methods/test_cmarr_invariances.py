"""What must not change CM-ARR's losses, what each of them must reach, and what its sizes are the sizes of."""

import pytest
import torch

from cmarr.data.batch import visibility
from cmarr.methods.asking import predictions, training_losses
from cmarr.modalities import INCOMPLETE

STILL = {"dropout": 0.0}  # a dropout mask belongs to a place in the batch


def losses(method, batch, visible):
    torch.manual_seed(3)
    return training_losses(method, batch, visible)


def started(small, **settings):
    """A method a few steps away from its start, where flows are the identity."""
    method, batch = small.method("cmarr", **STILL, **settings), small.batch(24, seed=4)
    small.train(method, batch, small.masks(batch), 3)
    return method


class TestInvariances:
    def test_the_order_of_the_batch(self, small):
        method, batch = started(small), small.batch()
        visible, order = small.masks(batch), torch.randperm(10, generator=torch.Generator().manual_seed(3))
        straight = losses(method, batch, visible)
        shuffled = losses(method, small.take(batch, order), visible[order])
        for name, value in straight.items():
            torch.testing.assert_close(shuffled[name], value, atol=1e-5, rtol=1e-4, msg=name)

    def test_padding(self, small):
        """A long companion pads the others, and they stay what they are."""
        method, batch = started(small).eval(), small.batch(4, absent=0.0)
        alone = method.truths(batch)
        companion = small.batch(1, seed=8, absent=0.0, longest=200)
        values = {m: torch.cat([batch.values[m], companion.values[m]]) for m in "svt"}
        lengths = {m: torch.cat([batch.lengths[m], companion.lengths[m]]) for m in "svt"}
        both = type(batch)(
            values,
            lengths,
            torch.cat([batch.available, companion.available]),
            torch.cat([batch.labels, companion.labels]),
        )
        assert max(int(n.max()) for n in lengths.values()) > 2 * max(
            int(n.max()) for n in batch.lengths.values()
        )
        for m, x in method.truths(both).items():
            torch.testing.assert_close(x[:4], alone[m], atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("added", ["s", "v", "t"])
    def test_a_modality_that_nobody_has(self, small, added):
        """Alignment, contrast and recovery are those of a corpus that never heard of it."""
        kept = {m: dim for m, dim in small.dims.items() if m != added}
        with_it = started(small)
        without = small.method("cmarr", kept, **STILL)
        own = without.state_dict()
        shared = {n: v for n, v in with_it.state_dict().items() if n in own and own[n].shape == v.shape}
        without.load_state_dict(own | shared)
        batch = small.without(small.batch(absent=0.0), added)
        visible = small.masks(batch)
        here, there = losses(with_it, batch, visible), losses(without, batch, visible)
        for name in ("udcl", "spcl", "rec"):
            torch.testing.assert_close(here[name], there[name], atol=1e-6, rtol=1e-5, msg=name)


class TestReach:
    def test_the_recovery_loss_trains_the_flows(self, small):
        """Eq 14 has no likelihood term: L_rec alone is what they learn from."""
        method, batch = started(small), small.batch(24, absent=0.0)
        method.zero_grad()
        visible = torch.stack([visibility(INCOMPLETE[i % 6], 1)[0] for i in range(24)])
        losses(method, batch, visible)["rec"].backward()
        still = [n for n, p in method.recovery.flows.named_parameters() if p.grad is None or not p.grad.any()]
        assert not still
        assert not any(p.grad is not None and p.grad.any() for p in method.fusion.parameters())

    def test_a_hidden_modality_enters_the_contrast_as_what_is_recovered(self, small):
        method, batch = started(small), small.batch(24, absent=0.0)
        method.zero_grad()
        losses(method, batch, visibility("sv", 24))["spcl"].backward()
        recovered = list(method.recovery.reconstructions["t"].parameters())
        assert any(p.grad is not None and p.grad.any() for p in recovered)
        true = method.representations["t"].parameters()
        assert not any(p.grad is not None and p.grad.any() for p in true)


class TestSizes:
    def test_width_and_length_are_those_of_what_is_recovered(self, small):
        method, batch = small.method("cmarr", d=12, length=7), small.batch(absent=0.0)
        answer = predictions(method.eval(), batch, {"s": visibility("s", 10)})["s"]
        assert answer.recovered["t"].shape == (10, 7, 12)

    @pytest.mark.parametrize(("setting", "hidden"), [("d", 8), (3, 3)])
    def test_hidden_width_of_the_couplings(self, small, setting, hidden):
        flow = small.method("cmarr", coupling_hidden=setting).recovery.flows["s"]
        assert flow.weight_in.shape == (2, hidden, 4)

    def test_steps_of_the_flows_and_blocks_of_the_reconstruction(self, small):
        few, many = small.method("cmarr"), small.method("cmarr", flow_steps=5, blocks=3)
        assert many.recovery.flows["s"].steps == 5

        def size(method):
            return sum(p.numel() for p in method.recovery.reconstructions["s"].parameters())

        one = size(few)
        ends = size(small.method("cmarr", blocks=2)) - one  # one block more
        assert size(many) == one + 2 * ends

    def test_heads_change_what_is_attended_to_and_no_shape(self, small):
        two, four = small.method("cmarr", heads=2), small.method("cmarr", heads=4)
        assert {n: p.shape for n, p in two.named_parameters()} == {
            n: p.shape for n, p in four.named_parameters()
        }
        four.load_state_dict(two.state_dict())
        batch = small.batch()
        visible = small.masks(batch)
        assert not torch.allclose(losses(two, batch, visible)["udcl"], losses(four, batch, visible)["udcl"])

    def test_the_entropy_floor_moves_its_own_term_alone(self, small):
        batch = small.batch()
        low, high = (
            losses(small.method("cmarr", entropy_weight=1.0, entropy_floor=floor), batch, small.masks(batch))
            for floor in (100.0, 200.0)
        )
        differ = {name for name in low if not torch.equal(low[name], high[name])}
        assert differ == {"entropy"}
        assert (high["entropy"] - low["entropy"]).item() == pytest.approx(100.0, rel=1e-4)


def test_flows_stay_invertible_and_their_determinant_true_on_trained_weights(small):
    method, batch = small.method("cmarr", flow_steps=4, beta=1.0), small.batch(16, absent=0.0)
    small.train(method, batch, small.masks(batch), 30, lr=5e-3)
    for m, x in method.eval().truths(batch).items():
        flow, rows = method.recovery.flows[m], x.detach().flatten(0, 1)
        z, claimed = flow(rows)
        back, backward = flow.inverse(z)
        assert (back - rows).abs().max() < 1e-4
        assert ((z - rows).abs().amax(0) > 1e-3).all()  # every channel is transformed
        torch.testing.assert_close(claimed, -backward, atol=1e-4, rtol=1e-4)
        jacobian = torch.autograd.functional.jacobian(lambda r, flow=flow: flow(r[None])[0][0], rows[0])
        torch.testing.assert_close(claimed[0], jacobian.det().abs().log(), atol=1e-4, rtol=1e-4)
