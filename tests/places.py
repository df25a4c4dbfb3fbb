"""Where the tests find what they read: the one place that knows how deep they lie."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
