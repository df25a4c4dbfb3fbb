"""Random stacks of PyTorch's modules through ``from_torch``, as ``pytorch/test_stacks.py`` draws and checks them."""

from importlib.util import find_spec

from campaign.case import Case, Finding


def available():
    """Whether PyTorch is installed, and pytest, as the stacks are drawn by a test."""
    return all(map(find_spec, ("torch", "pytest", "pytorch.test_stacks")))


class Stack(Case):
    """Some stacks, each refused or held against PyTorch's outputs and gradients."""

    def run(self):
        import torch  # late: it takes seconds, and other cases need none
        from pytorch.test_stacks import check_stack, random_stack

        torch.manual_seed(int(self.rng.integers(2**31)))
        for _ in range(5):
            drawn = random_stack(self.rng)
            if drawn is None:
                continue
            stack, shape = drawn
            self.say(f"cbp.from_torch({stack!r}, {shape})".replace("\n", " "))
            self.counts["stacks"] += 1
            try:
                self.counts["stacks that were taken"] += bool(check_stack(stack, shape))
            except AssertionError as wrong:
                raise Finding(f"from_torch: {wrong}") from wrong
