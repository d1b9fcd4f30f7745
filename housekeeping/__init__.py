"""Work in the background: sending events and webhooks, retention, erasure, backup, restore, and beat's schedule."""

from sortline.small_matrices import use_one_thread

use_one_thread()
