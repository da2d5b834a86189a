#ifndef FAULTY_DISK_H
#define FAULTY_DISK_H

/* A disk that fails on demand, below SQLite: a VFS in front of the system's own, for tests. */

/* Which call fails. */
#define FAULTY_DISK_WRITE 1
#define FAULTY_DISK_SYNC 2

/* How it fails. */
#define FAULTY_DISK_EIO 1          /* the call fails; nothing of it is done */
#define FAULTY_DISK_ENOSPC 2       /* a write is cut short for lack of room */
#define FAULTY_DISK_SHORT_WRITE 3  /* half of the bytes are written, then an I/O error */
#define FAULTY_DISK_LOST_SYNC 4    /* as EIO, and what was written since the last sync is gone from the disk */

/* Makes it SQLite's default VFS; connections that are open already keep theirs. Returns an SQLite result code. */
int faulty_disk_install(void);

/* From now on calls of the operation on files whose path contains `path` and ends with `ending` fail: `skip` of them
   still go well, the next `count` fail (all of them where it is negative). One fault a path; returns 0 where there is
   no room for one more. */
int faulty_disk_arm(const char *path, const char *ending, int operation, int kind, long skip, long count);

/* Takes the faults of the path away. Returns how often they struck. */
long faulty_disk_disarm(const char *path);

/* How many calls of the armed operation were seen on the path so far. */
long faulty_disk_seen(const char *path);

#endif
