/* Non-local jumps inside the kernel: tests include this only because cmocka asks for it. */
#pragma once
