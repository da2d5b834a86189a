#ifndef CTERMINAL_H
#define CTERMINAL_H

/// Opens a pseudo-terminal that becomes nobody's controlling terminal.
///
/// @param screen gets the end that a command reads from.
/// @return the end that is typed at; -1 with `errno` where there is none.
int terminal_open(int *screen);

#endif
