#include "test_width.h"

#include <stdlib.h>

/* How many tests Swift Testing runs at once, where nobody says otherwise. By itself it starts all of them: those with whole
   processes and time limits then wait for their turn behind hundreds that compute. It reads this before the first test. */
__attribute__((constructor)) static void set_test_width(void) {
    setenv("SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH", "2", 0);
}
