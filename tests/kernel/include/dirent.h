/* Folders inside the kernel: there are none; see unistd.h. */
#pragma once

typedef struct shim_folder DIR;
struct dirent {
    char d_name[8];
};

DIR *opendir(const char *path);
struct dirent *readdir(DIR *folder);
int closedir(DIR *folder);
