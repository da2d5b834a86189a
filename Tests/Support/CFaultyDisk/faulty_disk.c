#include "faulty_disk.h"

#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

#define MAXIMUM_FAULTS 32
#define MAXIMUM_PATH 512

typedef struct {
    char path[MAXIMUM_PATH];
    char ending[32];
    int operation, kind;
    long skip, count, seen, struck;
} Fault;

typedef struct {
    sqlite3_file base;
    sqlite3_file *real;
    const char *name;     /* SQLite keeps it as long as the file is open */
    sqlite3_int64 lowest; /* the lowest offset written since the last sync; -1 where there is none */
} File;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static Fault faults[MAXIMUM_FAULTS];
static sqlite3_vfs *system_vfs;
static sqlite3_vfs faulty_vfs;

/* The kind of fault that strikes this call; 0 for none. */
static int strikes(const char *name, int operation) {
    int kind = 0;
    if (!name) return 0;
    pthread_mutex_lock(&mutex);
    for (int index = 0; index < MAXIMUM_FAULTS; index++) {
        Fault *fault = &faults[index];
        size_t length = strlen(name), ending = strlen(fault->ending);
        if (!fault->path[0] || fault->operation != operation || !strstr(name, fault->path)) continue;
        if (length < ending || strcmp(name + length - ending, fault->ending)) continue;
        long place = fault->seen++;
        if (place < fault->skip || (fault->count >= 0 && place >= fault->skip + fault->count)) continue;
        fault->struck++;
        kind = fault->kind;
        break;
    }
    pthread_mutex_unlock(&mutex);
    return kind;
}

#define REAL(file) (((File *)(file))->real)

static int file_close(sqlite3_file *file) { return REAL(file)->pMethods->xClose(REAL(file)); }

static int file_read(sqlite3_file *file, void *bytes, int count, sqlite3_int64 offset) {
    return REAL(file)->pMethods->xRead(REAL(file), bytes, count, offset);
}

static int file_write(sqlite3_file *file, const void *bytes, int count, sqlite3_int64 offset) {
    File *self = (File *)file;
    int kind = strikes(self->name, FAULTY_DISK_WRITE);
    if (kind == FAULTY_DISK_EIO) return SQLITE_IOERR_WRITE;
    if (kind) count /= 2;
    if (self->lowest < 0 || offset < self->lowest) self->lowest = offset;
    int result = self->real->pMethods->xWrite(self->real, bytes, count, offset);
    if (kind == FAULTY_DISK_ENOSPC) return SQLITE_FULL;
    return kind ? SQLITE_IOERR_WRITE : result;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size) {
    return REAL(file)->pMethods->xTruncate(REAL(file), size);
}

/* What the kernel forgets after a failed fsync: everything written since the last one. */
static void lose(File *self) {
    static const char zeros[4096];
    sqlite3_int64 size = 0;
    if (self->lowest < 0 || self->real->pMethods->xFileSize(self->real, &size)) return;
    for (sqlite3_int64 offset = self->lowest; offset < size; offset += sizeof zeros) {
        sqlite3_int64 rest = size - offset;
        int count = rest < (sqlite3_int64)sizeof zeros ? (int)rest : (int)sizeof zeros;
        self->real->pMethods->xWrite(self->real, zeros, count, offset);
    }
}

static int file_sync(sqlite3_file *file, int flags) {
    File *self = (File *)file;
    int kind = strikes(self->name, FAULTY_DISK_SYNC);
    if (kind == FAULTY_DISK_LOST_SYNC) lose(self);
    self->lowest = -1;
    return kind ? SQLITE_IOERR_FSYNC : self->real->pMethods->xSync(self->real, flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size) {
    return REAL(file)->pMethods->xFileSize(REAL(file), size);
}
static int file_lock(sqlite3_file *file, int lock) { return REAL(file)->pMethods->xLock(REAL(file), lock); }
static int file_unlock(sqlite3_file *file, int lock) { return REAL(file)->pMethods->xUnlock(REAL(file), lock); }
static int file_check_lock(sqlite3_file *file, int *out) {
    return REAL(file)->pMethods->xCheckReservedLock(REAL(file), out);
}
static int file_control(sqlite3_file *file, int op, void *argument) {
    return REAL(file)->pMethods->xFileControl(REAL(file), op, argument);
}
static int file_sector_size(sqlite3_file *file) { return REAL(file)->pMethods->xSectorSize(REAL(file)); }
static int file_characteristics(sqlite3_file *file) {
    return REAL(file)->pMethods->xDeviceCharacteristics(REAL(file));
}
static int file_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out) {
    return REAL(file)->pMethods->xShmMap(REAL(file), page, size, extend, out);
}
static int file_shm_lock(sqlite3_file *file, int offset, int count, int flags) {
    return REAL(file)->pMethods->xShmLock(REAL(file), offset, count, flags);
}
static void file_shm_barrier(sqlite3_file *file) { REAL(file)->pMethods->xShmBarrier(REAL(file)); }
static int file_shm_unmap(sqlite3_file *file, int remove) {
    return REAL(file)->pMethods->xShmUnmap(REAL(file), remove);
}

/* Version 2: shared memory for the write-ahead log, no memory-mapped reads past the checks above. */
static const sqlite3_io_methods methods = {
    2, file_close, file_read, file_write, file_truncate, file_sync, file_size, file_lock, file_unlock,
    file_check_lock, file_control, file_sector_size, file_characteristics, file_shm_map, file_shm_lock,
    file_shm_barrier, file_shm_unmap, 0, 0,
};

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *outFlags) {
    File *self = (File *)file;
    memset(self, 0, sizeof *self);
    self->real = (sqlite3_file *)(self + 1);
    self->name = name;
    self->lowest = -1;
    int result = system_vfs->xOpen(system_vfs, name, self->real, flags, outFlags);
    /* SQLite closes what has methods, also after a failed open. */
    self->base.pMethods = self->real->pMethods ? &methods : 0;
    return result;
}

int faulty_disk_install(void) {
    int result = SQLITE_OK;
    pthread_mutex_lock(&mutex);
    if (!system_vfs) {
        system_vfs = sqlite3_vfs_find(0);
        faulty_vfs = *system_vfs;
        faulty_vfs.zName = "faulty-disk";
        faulty_vfs.pNext = 0;
        faulty_vfs.szOsFile = (int)sizeof(File) + system_vfs->szOsFile;
        faulty_vfs.xOpen = vfs_open;
        result = sqlite3_vfs_register(&faulty_vfs, 1);
    }
    pthread_mutex_unlock(&mutex);
    return result;
}

int faulty_disk_arm(const char *path, const char *ending, int operation, int kind, long skip, long count) {
    int armed = 0;
    if (!path[0] || strlen(path) >= MAXIMUM_PATH || strlen(ending) >= sizeof faults[0].ending) return 0;
    pthread_mutex_lock(&mutex);
    for (int index = 0; index < MAXIMUM_FAULTS && !armed; index++) {
        Fault *fault = &faults[index];
        if (fault->path[0]) continue;
        memset(fault, 0, sizeof *fault);
        strcpy(fault->path, path);
        strcpy(fault->ending, ending);
        fault->operation = operation;
        fault->kind = kind;
        fault->skip = skip;
        fault->count = count;
        armed = 1;
    }
    pthread_mutex_unlock(&mutex);
    return armed;
}

long faulty_disk_disarm(const char *path) {
    long struck = 0;
    pthread_mutex_lock(&mutex);
    for (int index = 0; index < MAXIMUM_FAULTS; index++) {
        if (strcmp(faults[index].path, path)) continue;
        struck += faults[index].struck;
        faults[index].path[0] = 0;
    }
    pthread_mutex_unlock(&mutex);
    return struck;
}

long faulty_disk_seen(const char *path) {
    long seen = 0;
    pthread_mutex_lock(&mutex);
    for (int index = 0; index < MAXIMUM_FAULTS; index++) {
        if (!strcmp(faults[index].path, path)) seen += faults[index].seen;
    }
    pthread_mutex_unlock(&mutex);
    return seen;
}
