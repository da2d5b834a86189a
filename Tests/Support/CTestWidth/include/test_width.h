#ifndef TEST_WIDTH_H
#define TEST_WIDTH_H
/* Nothing to call: that it is linked is enough. */
#endif
