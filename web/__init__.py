"""Documents over HTTP."""

from sortline.small_matrices import use_one_thread

use_one_thread()
